"""A trained model, put into the production registry under an alias."""

from ranking_pipeline.pipelines.promotion.pipeline import create_pipeline

__all__ = ["create_pipeline"]
