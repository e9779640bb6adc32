"""A book that is held over the bars of validation and test, at its costs."""

from ranking_pipeline.pipelines.backtest.pipeline import create_pipeline

__all__ = ["create_pipeline"]
