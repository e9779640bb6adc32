"""features: what is known at the close of bar t."""

from ranking_pipeline.features.compute import (
    compute_features,
    compute_table,
    feature_manifest,
    feature_table,
)
from ranking_pipeline.features.config import FeaturesConfig
from ranking_pipeline.features.selection import factor_names, selected_factors
from ranking_pipeline.features.sets import ALPHA158, SETS
from ranking_pipeline.features.stream import feature_blocks

__all__ = [
    "ALPHA158",
    "SETS",
    "FeaturesConfig",
    "compute_features",
    "compute_table",
    "factor_names",
    "feature_blocks",
    "feature_manifest",
    "feature_table",
    "selected_factors",
]
