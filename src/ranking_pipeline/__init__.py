"""ranking_pipeline: from OHLCV bars of a universe to an honest cross-sectional ranking."""

__version__ = "0.1.0"
