"""features: what is known at the close of bar t."""

from ranking_pipeline.features.compute import (
    compute_features,
    feature_manifest,
    feature_table,
)
from ranking_pipeline.features.config import FeaturesConfig
from ranking_pipeline.features.selection import factor_names, selected_factors

__all__ = [
    "FeaturesConfig",
    "compute_features",
    "factor_names",
    "feature_manifest",
    "feature_table",
    "selected_factors",
]
