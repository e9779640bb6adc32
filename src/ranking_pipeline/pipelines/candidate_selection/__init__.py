"""Candidates of each sector and month, by indicators of daily bars."""

from ranking_pipeline.pipelines.candidate_selection.pipeline import create_pipeline

__all__ = ["create_pipeline"]
