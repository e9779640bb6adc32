"""Routing: whether a target is trained pooled, per symbol, or both, and the plan."""
