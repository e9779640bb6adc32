"""Serving: scores of a promoted version, joined as they were for the leaderboard."""
