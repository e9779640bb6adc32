"""Gaps: bars of the common axis that a symbol lacks between its first and last one."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.bars.rows import Rows
from ranking_pipeline.bars.rules import RULE_CODE
from ranking_pipeline.panel import OHLCV

Values = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Positions = npt.NDArray[np.intp]

GAP_COLUMNS = ("symbol", "first_missing", "last_missing", "n_bars")
_CLOSE = OHLCV.index("close")
_VOLUME = OHLCV.index("volume")


def gap_table(
    symbols: tuple[str, ...], ends: npt.NDArray[np.datetime64], present: Mask
) -> pd.DataFrame:
    """One row per run of missing bars.

    Parameters
    ----------
    symbols : tuple of str, length S
    ends : ndarray of datetime64[ns], shape (T,)
    present : ndarray of bool, shape (S, T)

    Returns
    -------
    DataFrame
        symbol, first_missing, last_missing (ENDs of bars, UTC), n_bars; sorted by
        symbol and time.
    """
    symbol, first, last = _gaps(present)
    names = pd.Index(symbols, dtype=str)
    return pd.DataFrame(
        {
            "symbol": pd.Categorical.from_codes(symbol, categories=names).astype(str),
            "first_missing": pd.DatetimeIndex(ends[first]).tz_localize("UTC"),
            "last_missing": pd.DatetimeIndex(ends[last]).tz_localize("UTC"),
            "n_bars": last - first + 1,
        },
        columns=list(GAP_COLUMNS),
    )


def _gaps(present: Mask) -> tuple[Positions, Positions, Positions]:
    """Symbol, first and last bar of each gap."""
    parts: list[Positions] = []
    for symbol, own in enumerate(present):
        bars = np.flatnonzero(own)
        if len(bars) and bars[-1] - bars[0] + 1 > len(bars):
            before = np.flatnonzero(np.diff(bars) > 1)
            whose = np.full(len(before), symbol)
            parts.append(np.stack([whose, bars[before] + 1, bars[before + 1] - 1]))
    joined = np.concatenate([np.empty((3, 0), dtype=np.intp), *parts], axis=1)
    return joined[0], joined[1], joined[2]


def fill_missing_prices(rows: Rows, values: Values, limit: int) -> Positions:
    """Give bars whose row lacks a price the last close, at most ``limit`` bars old.

    ``values`` and ``rows.verdict`` are written to. Such a bar is flat and has no
    volume, because none of its numbers is trusted.

    Returns
    -------
    ndarray of int
        The rows that were repaired; the others stay set aside.
    """
    found = np.flatnonzero(rows.verdict == RULE_CODE["missing_price"])
    _, first = np.unique(rows.cells(found), return_index=True)
    found = np.sort(found[first])
    symbol, bar = rows.symbol[found], rows.bar[found]
    before = _last_real(values, symbol, bar)
    empty = np.isnan(values[symbol, bar, _CLOSE])
    near = empty & (before >= 0) & (bar - before <= limit)
    symbol, bar, before = symbol[near], bar[near], before[near]
    values[symbol, bar, : _CLOSE + 1] = values[symbol, before, _CLOSE][:, None]
    repaired: Positions = found[near]
    rows.verdict[repaired] = 0
    return repaired


def fill_gaps(values: Values, limit: int) -> tuple[Positions, Positions]:
    """Give the first ``limit`` bars of each gap the last close before it, in place.

    A filled bar is flat and has no volume. Nothing after a symbol's last bar is filled.

    Returns
    -------
    symbol, bar : ndarray of int
        The cells that were filled.
    """
    symbol, first, last = _gaps(~np.isnan(values[:, :, _CLOSE]))
    count = np.minimum(last - first + 1, limit)
    whose = np.repeat(np.arange(len(count)), count)
    step = np.arange(len(whose)) - np.repeat(np.cumsum(count) - count, count)
    symbol, bar = symbol[whose], first[whose] + step
    price = values[symbol, first[whose] - 1, _CLOSE]
    values[symbol, bar, : _CLOSE + 1] = price[:, None]
    # Zero, not unknown: whether a bar is filled shows only when the symbol trades again,
    # and the volume of a coarser bar must not depend on that.
    values[symbol, bar, _VOLUME] = 0.0
    return symbol, bar


def _last_real(
    values: Values, symbol: npt.NDArray[np.integer], bar: npt.NDArray[np.integer]
) -> Positions:
    """Last bar before each cell with a close; -1 where there is none."""
    own, place = np.unique(symbol, return_inverse=True)
    present = ~np.isnan(values[own, :, _CLOSE])
    last = np.where(present, np.arange(values.shape[1]), -1)
    np.maximum.accumulate(last, axis=1, out=last)
    return np.asarray(np.where(bar > 0, last[place, bar - 1], -1), dtype=np.intp)
