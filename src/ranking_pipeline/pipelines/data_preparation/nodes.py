"""Nodes of data preparation."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

import pandas as pd

from ranking_pipeline.bars.source import BarSource
from ranking_pipeline.config import RunConfig
from ranking_pipeline.data_config import DataPreparationConfig
from ranking_pipeline.storage import PanelHandle, TableStream

Tables = tuple[pd.DataFrame, ...]
log = logging.getLogger(__name__)

# Rows of a large table that are in memory at a time.
ROWS_PER_BLOCK = 300_000


def ingest_bars(
    source: BarSource, data: DataPreparationConfig, run: RunConfig
) -> tuple[Any, ...]:
    """Panel, security master, quarantine, quality, gaps, summary and market truth."""
    from ranking_pipeline.bars.prepare import prepare_bars
    from ranking_pipeline.evaluation.report_header import data_warnings

    found = prepare_bars(
        source,
        data,
        seed=run.seed,
        entry_lag_bars=data.labels.entry_lag_bars,
        now=pd.Timestamp.now("UTC"),
    )
    for warning in data_warnings(found.summary):
        log.warning("%s", warning)
    return (
        found.panel,
        found.security_master,
        found.quarantine,
        found.quality,
        found.gaps,
        found.summary,
        found.truth,
    )


def tabulate_bars(panel: PanelHandle) -> TableStream:
    """The bars of the panel as rows, for people and other programs."""
    from ranking_pipeline.bars.dense import bar_blocks

    return TableStream(partial(bar_blocks, panel.read(), ROWS_PER_BLOCK))


def compute_features(
    panel: PanelHandle, data: DataPreparationConfig
) -> tuple[TableStream, pd.DataFrame]:
    """Features and their manifest."""
    from ranking_pipeline.features.compute import feature_manifest
    from ranking_pipeline.features.selection import selected_factors
    from ranking_pipeline.features.stream import feature_blocks

    names = selected_factors(data.features)
    blocks = partial(feature_blocks, panel.read(), names, rows_per_block=ROWS_PER_BLOCK)
    return TableStream(blocks), feature_manifest(names)


def store_delistings(data: DataPreparationConfig) -> pd.DataFrame:
    """What holders of ended names got, kept beside the labels that it decides."""
    from ranking_pipeline.labels.delisting import no_delistings, read_delistings

    path = data.labels.delistings
    return no_delistings() if path is None else read_delistings(path)


def compute_labels(
    panel: PanelHandle, delistings: pd.DataFrame, data: DataPreparationConfig
) -> Tables:
    """Labels and the target manifest."""
    from ranking_pipeline.labels.compute import compute_labels as compute
    from ranking_pipeline.labels.grammar import parse_targets
    from ranking_pipeline.labels.sessions import uneven_sessions

    bars, per_session = panel.read(), data.bars_per_session
    note = uneven_sessions(bars, per_session) if per_session else None
    if note:
        log.info("labels: %s", note)
    return compute(
        bars,
        parse_targets(data.labels.targets, data.interval, per_session),
        data.labels,
        None if delistings.empty else delistings,
    )


def make_splits(panel: PanelHandle, data: DataPreparationConfig) -> dict[str, Any]:
    """Train, validation and test, with their trading dates."""
    from ranking_pipeline.splits import TRADING_DATES
    from ranking_pipeline.splits import make_splits as make

    bars = panel.read()
    splits = make(bars.timestamps, **data.splits.model_dump())
    return {
        **splits.to_dict(),
        TRADING_DATES: splits.trading_dates(bars.trading_dates),
    }


def summarise_data(
    summary: dict[str, Any],
    quality: pd.DataFrame,
    security_master: pd.DataFrame,
    panel: PanelHandle,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The report's section on the data, and its first figure."""
    from ranking_pipeline.bars.missing import missing_share
    from ranking_pipeline.evaluation.stage_sections import data_section

    missing = missing_share(panel.read())
    section = data_section(summary, quality, security_master, missing)
    return section.to_dict(), section.first_figure()
