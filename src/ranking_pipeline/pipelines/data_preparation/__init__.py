"""Bars in, checked; panel, factors, labels and splits out."""

from ranking_pipeline.pipelines.data_preparation.pipeline import create_pipeline

__all__ = ["create_pipeline"]
