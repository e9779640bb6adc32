"""Which targets are predictable at all."""

from ranking_pipeline.pipelines.target_ranking.pipeline import create_pipeline

__all__ = ["create_pipeline"]
