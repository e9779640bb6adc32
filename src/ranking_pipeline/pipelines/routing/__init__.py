"""One pooled model or one per symbol, as a training plan."""

from ranking_pipeline.pipelines.routing.pipeline import create_pipeline

__all__ = ["create_pipeline"]
