"""Nodes of data preparation."""

from __future__ import annotations

from typing import Any

import pandas as pd

from ranking_pipeline.bars.source import BarSource
from ranking_pipeline.config import RunConfig
from ranking_pipeline.panel import Panel
from ranking_pipeline.pipelines.data_preparation.config import DataPreparationConfig
from ranking_pipeline.storage import PanelHandle

Tables = tuple[pd.DataFrame, ...]


def check_bars(
    source: BarSource, data: DataPreparationConfig, run: RunConfig
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, dict[str, Any], Any, pd.DataFrame]:
    """Bars, quarantine, quality, summary, security master and market truth."""
    from ranking_pipeline.bars.checks import check_bars as check
    from ranking_pipeline.bars.market import (
        empty_truth,
        restrict_truth,
        simulate_market,
    )
    from ranking_pipeline.bars.readers import Reading, read_bars
    from ranking_pipeline.bars.security_master import build_security_master

    if source.simulated:
        market = simulate_market(data.market, run.seed, data.labels.entry_lag_bars)
        raw, reading = market.raw, Reading(source.location)
        sectors: pd.DataFrame | str | None = market.sectors
        truth = market.truth
    else:
        raw, reading = read_bars(source.location, data)
        sectors, truth = data.sectors, empty_truth()
    clean = check(raw, data, reading=reading, now=pd.Timestamp.now("UTC"))
    master = build_security_master(clean.bars, sectors)
    truth = restrict_truth(truth, clean.bars)
    return clean.bars, clean.quarantine, clean.quality, clean.summary, master, truth


def build_panel(bars: pd.DataFrame) -> Panel:
    from ranking_pipeline.bars.dense import build_panel as build

    return build(bars)


def compute_features(
    panel: PanelHandle, security_master: pd.DataFrame, data: DataPreparationConfig
) -> Tables:
    """Features and their manifest."""
    from ranking_pipeline.features import compute
    from ranking_pipeline.features.selection import selected_factors

    bars = panel.read()
    names = selected_factors(data.features)
    sectors = (
        security_master.set_index("symbol")["sector"]
        .reindex(list(bars.symbols))
        .fillna("unknown")
    )
    values = compute.compute_features(bars, sectors.to_numpy(str), names)
    return compute.feature_table(bars, values, names), compute.feature_manifest(names)


def compute_labels(panel: PanelHandle, data: DataPreparationConfig) -> Tables:
    """Labels and the target manifest."""
    from ranking_pipeline.labels.compute import compute_labels as compute
    from ranking_pipeline.labels.grammar import parse_targets

    specs = parse_targets(data.labels.targets, data.interval, data.bars_per_session)
    return compute(panel.read(), specs, data.labels)


def make_splits(panel: PanelHandle, data: DataPreparationConfig) -> dict[str, Any]:
    from ranking_pipeline.splits import make_splits as make

    return make(panel.read().timestamps, **data.splits.model_dump()).to_dict()


def summarise_data(
    summary: dict[str, Any], quality: pd.DataFrame, security_master: pd.DataFrame
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The report's section on the data, and its figure."""
    from ranking_pipeline.evaluation.stage_sections import data_section

    section = data_section(summary, quality, security_master)
    return section.to_dict(), section.first_figure()
