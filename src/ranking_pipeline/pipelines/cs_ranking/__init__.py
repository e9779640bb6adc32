"""The cross-sectional ranking network."""

from ranking_pipeline.pipelines.cs_ranking.pipeline import create_pipeline

__all__ = ["create_pipeline"]
