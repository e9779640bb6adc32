"""Rows of the GPU benchmark, one file per part of the work."""
