"""Nodes of the cross-sectional ranking network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from ranking_pipeline.jobs.config import JobsConfig
from ranking_pipeline.pipelines.cs_ranking.config import CsRankingConfig
from ranking_pipeline.storage import PanelHandle, TableHandle

Tensors = Mapping[str, Any]


def build_cs_targets(
    panel: PanelHandle,
    labels: TableHandle,
    target_manifest: pd.DataFrame,
    config: CsRankingConfig,
) -> pd.DataFrame:
    """Targets of every bar, made of the payoffs in it."""
    from ranking_pipeline.pipelines.cs_ranking.tables import cs_target_table

    return cs_target_table(panel.read(), labels, target_manifest, config)


def build_required_cs_targets(
    panel: PanelHandle,
    labels: TableHandle,
    target_manifest: pd.DataFrame,
    config: CsRankingConfig,
) -> pd.DataFrame:
    """The same for a run that is about the network: too few symbols are refused."""
    from ranking_pipeline.pipelines.cs_ranking.applicability import (
        require_cross_sections,
    )

    require_cross_sections(panel.read().n_symbols, config)
    return build_cs_targets(panel, labels, target_manifest, config)


def train_ranker(
    panel: PanelHandle,
    cs_targets: TableHandle,
    labels: TableHandle,
    target_manifest: pd.DataFrame,
    splits: dict[str, Any],
    data_summary: dict[str, Any],
    config: CsRankingConfig,
    jobs: JobsConfig,
) -> tuple[Tensors, dict[str, Any], pd.DataFrame]:
    """Weights, their meta documents, and the training history."""
    from ranking_pipeline.pipelines.cs_ranking.tables import train_rankers

    return train_rankers(
        panel.read(),
        cs_targets,
        labels,
        target_manifest,
        splits,
        data_summary["interval"],
        config,
        jobs,
    )


def score_universe(
    panel: PanelHandle,
    weights: Tensors,
    meta: dict[str, Any],
    splits: dict[str, Any],
    config: CsRankingConfig,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The networks as rows of ``models``, and their scores after the train span."""
    from ranking_pipeline.pipelines.cs_ranking.tables import score_table

    return score_table(panel.read(), weights, meta, splits, config)


def summarise_cs_ranking(
    history: pd.DataFrame,
    meta: dict[str, Any],
    data_summary: dict[str, Any],
    config: CsRankingConfig,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The report's section on the network, and its learning curve."""
    from ranking_pipeline.evaluation.model_sections import cs_ranking_section
    from ranking_pipeline.pipelines.cs_ranking.applicability import why_not

    reason = why_not(data_summary["n_symbols"], config)
    section = cs_ranking_section(history, meta, reason)
    return section.to_dict(), section.first_figure()
