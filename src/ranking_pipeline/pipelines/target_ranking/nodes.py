"""Nodes of target ranking."""

from __future__ import annotations

from typing import Any

import pandas as pd

from ranking_pipeline.jobs.config import JobsConfig
from ranking_pipeline.selection.config import TargetRankingConfig
from ranking_pipeline.storage import PanelHandle, TableHandle


def rank_targets(
    panel: PanelHandle,
    features: TableHandle,
    feature_manifest: pd.DataFrame,
    labels: TableHandle,
    target_manifest: pd.DataFrame,
    splits: dict[str, Any],
    config: TargetRankingConfig,
    jobs: JobsConfig,
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Rankings, scores per family, and the selection."""
    from ranking_pipeline.selection.fan_out import StoredData, over_workers
    from ranking_pipeline.selection.predictability import rank_targets as rank

    stored = StoredData(
        panel, features, feature_manifest, labels, target_manifest, splits
    )
    data = stored.load()
    if config.auto:
        data.panel.require_cross_section()
    ranking = rank(data, config, over_workers(stored, jobs, "targets ranked"))
    return ranking.rankings, ranking.family_scores, ranking.selected


def summarise_target_ranking(
    rankings: pd.DataFrame, family_scores: pd.DataFrame, selected: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The report's section on the targets, and its figure."""
    from ranking_pipeline.evaluation.stage_sections import target_ranking_section

    section = target_ranking_section(rankings, family_scores, selected)
    return section.to_dict(), section.first_figure()
