"""Prepare: from a source of bars to the panel of a universe and all that is told of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ranking_pipeline.bars.calendar import Sessions, sessions_between
from ranking_pipeline.bars.config import DataConfig
from ranking_pipeline.bars.ingest import Ingested, ingest
from ranking_pipeline.bars.market import empty_truth, restrict_truth, simulate_market
from ranking_pipeline.bars.raw import FrameBars, RawBars, open_bars
from ranking_pipeline.bars.reading import Reading
from ranking_pipeline.bars.refusals import refuse_survivors
from ranking_pipeline.bars.resampling import resample_panel
from ranking_pipeline.bars.sectors import read_sectors, with_sectors
from ranking_pipeline.bars.security_master import security_master
from ranking_pipeline.bars.source import BarSource
from ranking_pipeline.bars.universe import (
    apply_universe,
    membership,
    read_spells,
    survivorship,
)
from ranking_pipeline.panel import Panel


@dataclass(frozen=True)
class Prepared:
    """The panel, and the tables beside it.

    Attributes
    ----------
    panel : Panel
        Bars of ``data.interval``; sectors and membership as of each date.
    security_master : DataFrame
        One row per symbol.
    quarantine, quality, gaps : DataFrame
        What the checks found; of the bars as the source holds them.
    summary : dict
        The account of the rows.
    truth : DataFrame
        Planted score of a simulated market, without rows for any other.
    """

    panel: Panel
    security_master: pd.DataFrame
    quarantine: pd.DataFrame
    quality: pd.DataFrame
    gaps: pd.DataFrame
    summary: dict[str, Any]
    truth: pd.DataFrame


@dataclass(frozen=True)
class _Source:
    raw: RawBars
    sectors: pd.DataFrame | None
    truth: pd.DataFrame
    sessions: Sessions | None


def prepare_bars(
    source: BarSource,
    config: DataConfig,
    *,
    seed: int,
    entry_lag_bars: int,
    now: pd.Timestamp | None,
) -> Prepared:
    """Read or simulate bars, check them, resample them, and say who belongs when.

    Parameters
    ----------
    source
        Where the bars come from.
    config
        The section ``data``.
    seed, entry_lag_bars
        Of the simulated market; unused for any other.
    now
        An instant in UTC after which bars are refused; None leaves the rule out.

    Raises
    ------
    UserError
        As :func:`~ranking_pipeline.bars.ingest.ingest`; and where a calendar, the
        sectors or the universe do not fit the bars.
    """
    opened = _open(source, config, seed, entry_lag_bars)
    found = ingest(opened.raw, config.of_source(), now=now, calendar=opened.sessions)
    panel = _resampled(found.panel, config, opened.sessions)
    if opened.sectors is not None:
        panel = with_sectors(panel, opened.sectors)
    panel, members = _restricted(panel, config)
    return Prepared(
        panel,
        security_master(panel, None),
        found.quarantine,
        found.quality,
        found.gaps,
        _summary(found, panel, config, members),
        restrict_truth(opened.truth, panel),
    )


def _open(source: BarSource, config: DataConfig, seed: int, lag: int) -> _Source:
    if source.simulated:
        market = simulate_market(config.market, seed, lag)
        # The planted lag counts the simulated bars, not the longer ones made of them.
        resampled = config.source_interval is not None
        truth = empty_truth() if resampled else market.truth
        raw = FrameBars(market.raw, Reading(source.location))
        return _Source(raw, read_sectors(market.sectors), truth, market.sessions)
    sectors = None if config.sectors is None else read_sectors(config.sectors)
    raw_bars = open_bars(source.location, config.of_source())
    return _Source(raw_bars, sectors, empty_truth(), None)


def _resampled(panel: Panel, config: DataConfig, sessions: Sessions | None) -> Panel:
    if config.source_interval is None:
        return panel
    if sessions is None and config.calendar is not None:
        first, last = panel.trading_dates[[0, -1]]
        sessions = sessions_between(config.calendar, first, last)
    # Bars outside the sessions, where they are kept, have no place in their closes.
    known = sessions if config.session == "regular" else None
    return resample_panel(panel, config.interval, known)


def _restricted(
    panel: Panel, config: DataConfig
) -> tuple[Panel, dict[str, Any] | None]:
    """Take non-members out of the cross-sections; say what share of members is there."""
    if config.universe is None:
        return panel, None
    spells = read_spells(config.universe)
    member = membership(spells, panel.symbols, panel.trading_dates)
    return apply_universe(panel, member), survivorship(spells, panel)


def _summary(
    found: Ingested,
    panel: Panel,
    config: DataConfig,
    members: dict[str, Any] | None,
) -> dict[str, Any]:
    first, last = pd.DatetimeIndex(panel.timestamps[[0, -1]]).tz_localize("UTC")
    summary = {
        **found.summary,
        "first": first.isoformat(),
        "last": last.isoformat(),
        # the stamps above may fall on the day after, in UTC
        "first_date": str(panel.trading_dates[0]),
        "last_date": str(panel.trading_dates[-1]),
        "interval": config.interval,
        "source_interval": config.source_interval or config.interval,
        "bar_stamp": config.bar_stamp,
        "n_source_bars": found.summary["n_bars"],
        "n_bars": panel.n_bars,
        "n_tradable": int(np.count_nonzero(panel.tradable)),
    }
    if members is not None:
        refuse_survivors(members["warning"], config)
        summary["survivorship"] = {**summary["survivorship"], **members}
    return summary
