"""Candidates: names of each sector worth a closer look, by indicators of daily bars."""
