"""Benchmarks: ours beside a peer or the naive version, in one run, as ratios."""
