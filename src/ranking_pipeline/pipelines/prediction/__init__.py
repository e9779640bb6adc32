"""Candidates and a promoted model, made into portfolios."""

from ranking_pipeline.pipelines.prediction.pipeline import create_pipeline

__all__ = ["create_pipeline"]
