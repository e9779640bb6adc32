"""Ingest check: raw bars read again up to earlier dates give the same panel so far."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import numpy as np
import numpy.typing as npt

from ranking_pipeline.audit.check import CLEAN, LOOKS_AHEAD, Check, guarded
from ranking_pipeline.bars.prepare import prepare_bars
from ranking_pipeline.bars.source import BarSource
from ranking_pipeline.data_config import DataPreparationConfig
from ranking_pipeline.errors import UserError
from ranking_pipeline.panel import Panel

CHECK = "bars ignore later bars"
FIRST_CUT, LAST_CUT = 0.3, 0.95  # shares of the trading dates
Arrays = Mapping[str, npt.NDArray[np.generic]]


def ingest_checks(
    source: BarSource,
    panel: Panel,
    data: DataPreparationConfig,
    seed: int,
    n_cuts: int,
) -> list[Check]:
    """Compare the panel with panels of the same source that end earlier.

    Parameters
    ----------
    source : BarSource
    panel : Panel
        Made from the whole source with ``data``.
    data : DataPreparationConfig
    seed : int
        Of the simulated market.
    n_cuts : int
        Last dates, evenly spread over the panel.

    Returns
    -------
    list of Check
        One row: prices, volume, who is tradable, and sectors of every cell.
    """
    return guarded("ingest", _checks, source, panel, data, seed, n_cuts)


def _checks(
    source: BarSource,
    panel: Panel,
    data: DataPreparationConfig,
    seed: int,
    n_cuts: int,
) -> list[Check]:
    dates = np.unique(panel.trading_dates)
    places = np.linspace(FIRST_CUT, LAST_CUT, n_cuts) * (len(dates) - 1)
    compared = different = known = 0
    worst = ""
    for last in dates[places.astype(np.intp)]:
        earlier = _ending(source, data, seed, last.astype(date))
        one, other = _known_until(panel, last), _on_axes(earlier, panel, last)
        wrong = _differ(one, other)
        compared += wrong.size
        known += int(np.isfinite(one["values"]).sum())
        different += int(wrong.sum())
        if wrong.any() and not worst:
            symbol, bar, _ = np.argwhere(wrong)[0]
            worst = (
                f"{panel.symbols[symbol]} at {panel.timestamps[bar]} changes when the "
                f"bars end on {last}"
            )
    verdict = LOOKS_AHEAD if different else CLEAN
    return [
        Check(
            CHECK,
            f"the panel, from {source.location}",
            "cells",
            compared,
            different,
            known,
            n_cuts,
            1,
            worst,
            verdict,
        )
    ]


def _ending(
    source: BarSource, data: DataPreparationConfig, seed: int, last: date
) -> Panel:
    shorter = data.model_copy(update={"last_date": last})
    lag = data.labels.entry_lag_bars
    return prepare_bars(source, shorter, seed=seed, entry_lag_bars=lag, now=None).panel


def _known_until(panel: Panel, last: np.datetime64) -> Arrays:
    n_bars = int(np.searchsorted(panel.trading_dates, last, side="right"))
    return _arrays(panel.cut(slice(n_bars)))


def _on_axes(earlier: Panel, panel: Panel, last: np.datetime64) -> Arrays:
    """The arrays of a shorter panel, with empty rows for symbols not yet listed."""
    n_bars = int(np.searchsorted(panel.trading_dates, last, side="right"))
    if not np.array_equal(earlier.timestamps, panel.timestamps[:n_bars]):
        raise UserError(f"the bars up to {last} lie on another time axis")
    rows = panel.symbol_positions(np.array(earlier.symbols, dtype=object))
    spread = {}
    for name, values in _arrays(earlier).items():
        empty = {"f": np.nan, "b": False, "U": ""}[values.dtype.kind]
        whole = np.full((panel.n_symbols, *values.shape[1:]), empty, values.dtype)
        whole[rows] = values
        spread[name] = whole
    return spread


def _arrays(panel: Panel) -> Arrays:
    """What a panel says of each cell; sectors by name, only where there is a bar."""
    names = np.array([*panel.sector_names, ""], dtype="U")
    sectors = np.where(panel.present, names[panel.sectors], "")
    return {"values": panel.values, "tradable": panel.tradable, "sectors": sectors}


def _differ(one: Arrays, other: Arrays) -> npt.NDArray[np.bool_]:
    """Where cells differ, bit by bit; shape (S, T, fields + 2)."""
    bits = [np.ascontiguousarray(a["values"]).view(np.uint32) for a in (one, other)]
    missing = [np.isnan(a["values"]) for a in (one, other)]
    values = (bits[0] != bits[1]) & ~(missing[0] & missing[1])
    rest = [one[name] != other[name] for name in ("tradable", "sectors")]
    wrong: npt.NDArray[np.bool_] = np.concatenate(
        [values, np.stack(rest, axis=-1)], axis=-1
    )
    return wrong
