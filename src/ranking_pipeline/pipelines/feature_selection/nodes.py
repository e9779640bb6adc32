"""Nodes of feature selection."""

from __future__ import annotations

from typing import Any

import pandas as pd

from ranking_pipeline.jobs.config import JobsConfig
from ranking_pipeline.selection.config import FeatureSelectionConfig
from ranking_pipeline.storage import PanelHandle, TableHandle


def select_features(
    panel: PanelHandle,
    features: TableHandle,
    feature_manifest: pd.DataFrame,
    labels: TableHandle,
    target_manifest: pd.DataFrame,
    splits: dict[str, Any],
    selected_targets: dict[str, Any],
    config: FeatureSelectionConfig,
    jobs: JobsConfig,
) -> tuple[Any, ...]:
    """Leakage report, importances, consensus, stability, agreement, and the choice."""
    from ranking_pipeline.selection.fan_out import StoredData, over_workers
    from ranking_pipeline.selection.feature_choice import select_features as select

    stored = StoredData(
        panel, features, feature_manifest, labels, target_manifest, splits
    )
    made = select(
        stored.load(),
        selected_targets["targets"],
        config,
        over_workers(stored, jobs, "features selected"),
    )
    return (
        made.leakage,
        made.importance,
        made.consensus,
        made.stability,
        made.agreement,
        made.selected,
    )


def summarise_feature_selection(
    consensus: pd.DataFrame, leakage: pd.DataFrame, selected: dict[str, list[str]]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The report's section on the features, and its figure."""
    from ranking_pipeline.evaluation.stage_sections import feature_selection_section

    section = feature_selection_section(consensus, leakage, selected)
    return section.to_dict(), section.first_figure()
