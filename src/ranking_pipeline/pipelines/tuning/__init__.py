"""Parameters of model families, searched."""

from ranking_pipeline.pipelines.tuning.pipeline import create_pipeline

__all__ = ["create_pipeline"]
