"""Everything side by side on the locked test split, and the report."""

from ranking_pipeline.pipelines.evaluation.pipeline import create_pipeline

__all__ = ["create_pipeline"]
