"""Bars in: readers, checks with quarantine, dense panel, security master, simulator."""
