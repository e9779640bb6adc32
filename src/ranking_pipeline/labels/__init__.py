"""labels: what happens after bar t, and the bar at which it is known."""

from ranking_pipeline.labels.compute import compute_labels
from ranking_pipeline.labels.config import LabelsConfig
from ranking_pipeline.labels.discovery import degenerate_reason
from ranking_pipeline.labels.grammar import TargetSpec, parse_target, parse_targets
from ranking_pipeline.labels.uniqueness import average_uniqueness

__all__ = [
    "LabelsConfig",
    "TargetSpec",
    "average_uniqueness",
    "compute_labels",
    "degenerate_reason",
    "parse_target",
    "parse_targets",
]
