"""Nodes of target ranking."""

from __future__ import annotations

from typing import Any

import pandas as pd

from ranking_pipeline.cache.config import CacheConfig
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
    cache: CacheConfig,
) -> tuple[Any, ...]:
    """Rankings, scores and importances per family, the selection, and the costs."""
    from ranking_pipeline.selection.fan_out import LazyData, StoredData, over_workers
    from ranking_pipeline.selection.predictability import rank_targets as rank

    stored = StoredData(
        panel, features, feature_manifest, labels, target_manifest, splits
    )
    each = over_workers(stored, jobs, "targets ranked", cache)
    made = rank(LazyData(stored), config, each)
    return (
        made.rankings,
        made.family_scores,
        made.feature_importances,
        made.selected,
        [each.costs.to_dict()],
    )


def export_rankings(rankings: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The rankings for other programs: as CSV and as a document."""
    from ranking_pipeline.selection.rankings_document import rankings_document

    return rankings, rankings_document(rankings)


def summarise_target_ranking(
    rankings: pd.DataFrame, family_scores: pd.DataFrame, selected: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The report's section on the targets, and its figure."""
    from ranking_pipeline.evaluation.stage_sections import target_ranking_section

    section = target_ranking_section(rankings, family_scores, selected)
    return section.to_dict(), section.first_figure()
