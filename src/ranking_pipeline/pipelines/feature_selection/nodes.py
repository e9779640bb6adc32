"""Nodes of feature selection."""

from __future__ import annotations

from typing import Any

import pandas as pd

from ranking_pipeline.cache.config import CacheConfig
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
    cache: CacheConfig,
) -> tuple[Any, ...]:
    """The tables of the choice, the choice, its files for people, and the costs."""
    from ranking_pipeline.selection.fan_out import LazyData, StoredData, over_workers
    from ranking_pipeline.selection.feature_choice import select_features as select
    from ranking_pipeline.selection.feature_reports import feature_reports

    stored = StoredData(
        panel, features, feature_manifest, labels, target_manifest, splits
    )
    each = over_workers(stored, jobs, "features selected", cache)
    made = select(LazyData(stored), selected_targets["targets"], config, each)
    return (
        made.leakage,
        made.filters,
        made.importance,
        made.symbol_importance,
        made.comparison,
        made.consensus,
        made.family_scores,
        made.stability,
        made.agreement,
        made.outcomes,
        made.selected,
        feature_reports(made),
        [each.costs.to_dict()],
    )


def summarise_feature_selection(
    consensus: pd.DataFrame,
    leakage: pd.DataFrame,
    selected: dict[str, list[str]],
    outcomes: pd.DataFrame,
    stability: pd.DataFrame,
    agreement: pd.DataFrame,
    comparison: pd.DataFrame,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The report's section on the features, and its figure."""
    from ranking_pipeline.evaluation.stage_sections import feature_selection_section

    section = feature_selection_section(
        consensus, leakage, selected, outcomes, stability, agreement, comparison
    )
    return section.to_dict(), section.first_figure()
