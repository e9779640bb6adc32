"""Evaluation: metrics, baselines, the leaderboard and the report."""
