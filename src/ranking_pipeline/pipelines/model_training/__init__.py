"""The training plan, executed."""

from ranking_pipeline.pipelines.model_training.pipeline import create_pipeline

__all__ = ["create_pipeline"]
