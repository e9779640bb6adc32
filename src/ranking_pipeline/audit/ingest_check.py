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
        Last dates: half of them evenly spread over the panel, the others on dates
        on which a symbol is not tradable that was before and will be again.

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
    compared = different = known = 0
    worst = ""
    last_dates = _last_dates(panel, n_cuts)
    for last in last_dates:
        earlier = _ending(source, data, seed, last.astype(date))
        n_bars = int(np.searchsorted(panel.trading_dates, last, side="right"))
        wrong, n_known = different_cells(panel, earlier, n_bars)
        compared, known = compared + wrong.size, known + n_known
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
            len(last_dates),
            1,
            worst,
            verdict,
        )
    ]


def _last_dates(panel: Panel, n_cuts: int) -> npt.NDArray[np.datetime64]:
    dates = np.unique(panel.trading_dates)
    traded = np.cumsum(panel.tradable, axis=1)
    idle = ~panel.tradable & (traded > 0) & (traded < traded[:, -1:])
    holes = np.unique(panel.trading_dates[idle.any(axis=0)])
    holes = holes[holes < dates[-1]]
    n_holes = min(len(holes), n_cuts // 2)
    first = (np.arange(n_holes) + 0.5) * len(holes) / max(n_holes, 1)
    places = np.linspace(FIRST_CUT, LAST_CUT, n_cuts - n_holes) * (len(dates) - 1)
    chosen = [holes[first.astype(np.intp)], dates[places.astype(np.intp)]]
    return np.asarray(np.unique(np.concatenate(chosen)))


def _ending(
    source: BarSource, data: DataPreparationConfig, seed: int, last: date
) -> Panel:
    shorter = data.model_copy(update={"last_date": last})
    lag = data.labels.entry_lag_bars
    return prepare_bars(source, shorter, seed=seed, entry_lag_bars=lag, now=None).panel


def different_cells(
    panel: Panel, other: Panel, n_bars: int
) -> tuple[npt.NDArray[np.bool_], int]:
    """Compare the first bars of a panel with a panel made of other later rows.

    Parameters
    ----------
    panel, other : Panel
        ``other`` may lack symbols that are not listed yet.
    n_bars : int
        Bars of ``panel`` to compare.

    Returns
    -------
    wrong : ndarray of bool, shape (S, n_bars, fields + 2)
        Fields, whether it is tradable, and the sector, of each cell, bit by bit.
    known : int
        Of these, those that hold something.

    Raises
    ------
    UserError
        Where the bars lie at other times, or a symbol is not one of ``panel``.

    Notes
    -----
    A bar that is not tradable and repeats the last close may be missing from one of
    the panels: where gaps are filled, whether one is a gap shows when it ends. No other
    difference is allowed for.
    """
    until = panel.cut(slice(n_bars))
    if not np.array_equal(other.timestamps[:n_bars], until.timestamps):
        end = until.timestamps[-1] if n_bars else "the first bar"
        raise UserError(f"the bars up to {end} lie on another time axis")
    one, two = _arrays(until), _on_axes(other.cut(slice(n_bars)), until)
    wrong = _differ(one, two)
    wrong &= ~(_repeats(one, two) | _repeats(two, one))[:, :, None]
    # Whether a bar is tradable says something where there is one.
    known = np.isfinite(until.values).sum() + until.present.sum()
    return wrong, int(known + (one["sectors"] != "").sum())


def _on_axes(other: Panel, panel: Panel) -> Arrays:
    """The arrays of a panel, with empty rows for symbols that it does not list."""
    strange = sorted(set(other.symbols) - set(panel.symbols))
    early = [name for name in strange if other.present[other.symbols.index(name)].any()]
    if early:
        raise UserError(f"{', '.join(early)} has bars in one of the panels only")
    shared = [row for row, name in enumerate(other.symbols) if name not in strange]
    names = np.array(other.symbols, dtype=object)[shared]
    rows = panel.symbol_positions(names)
    spread = {}
    for name, values in _arrays(other).items():
        empty = {"f": np.nan, "b": False, "U": ""}[values.dtype.kind]
        whole = np.full((panel.n_symbols, *values.shape[1:]), empty, values.dtype)
        whole[rows] = values[shared]
        spread[name] = whole
    return spread


def _repeats(one: Arrays, other: Arrays) -> npt.NDArray[np.bool_]:
    """Where only ``one`` has a bar: not tradable, without volume, the last close."""
    prices = np.asarray(one["values"], dtype=np.float32)[:, :, :4]
    volume = np.asarray(one["values"], dtype=np.float32)[:, :, 4]
    gone = np.isnan(np.asarray(other["values"], dtype=np.float32)[:, :, 3])
    bars = np.arange(prices.shape[1])
    last = np.maximum.accumulate(np.where(gone, -1, bars), axis=1)
    known = np.asarray(other["values"], dtype=np.float32)[:, :, 3]
    close = np.take_along_axis(known, np.maximum(last, 0), axis=1)
    same = np.asarray((prices == close[:, :, None]).all(axis=2))
    traded = np.asarray(one["tradable"], dtype=np.bool_)
    return np.asarray(gone & same & ~traded & (volume == 0))


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
