"""Cross-sectional ranking: targets, rank metrics and the ranker itself."""
