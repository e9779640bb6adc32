"""Which features carry a target, and which leak."""

from ranking_pipeline.pipelines.feature_selection.pipeline import create_pipeline

__all__ = ["create_pipeline"]
