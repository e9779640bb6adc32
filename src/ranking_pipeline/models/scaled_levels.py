"""Scaled levels: the 25 factors of the set daily25 as channels of sequence networks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ranking_pipeline.features.compute import compute_columns
from ranking_pipeline.features.selection import factor_names, find_factors
from ranking_pipeline.panel import OHLCV, Panel

SCALED_LEVELS = "scaled_levels"
_SET = "daily25"
# Numbers whose copies are alive together beside the channels.
_VALUES_AT_ONCE = 1 << 23


def scaled_levels(
    panel: Panel, symbols: npt.NDArray[np.intp]
) -> npt.NDArray[np.float32]:
    """Compute the factors of some symbols on the bars that each of them has.

    A mean over 5 bars is one over the last 5 bars of the symbol: a day without a bar is
    missing itself and makes no other day so. Where the last 30 bars are there, these
    are the factors of the feature table, bit for bit.

    Parameters
    ----------
    panel : Panel
        With its whole history: a level is a share of the highest one from the panel's
        first bar to t.
    symbols : ndarray of int, shape (n,)

    Returns
    -------
    ndarray of float32, shape (n, T, 25)
        Means over 5, 10, 20 and 30 bars and the value itself of open, high, low, close
        and volume in turn. NaN where the symbol has no bar, and where its first bars
        are too few for a mean. A value depends on no later bar.
    """
    factors = find_factors(factor_names(_SET))
    channels = np.full(
        (len(symbols), panel.n_bars, len(factors)), np.nan, dtype=np.float32
    )
    block = max(1, _VALUES_AT_ONCE // max(1, panel.n_bars * len(factors)))
    for first in range(0, len(symbols), block):
        part = slice(first, first + block)
        own, order = _own_bars(panel, symbols[part])
        values = np.moveaxis(compute_columns(own, factors), 0, 2)  # (s, T, 25)
        np.put_along_axis(channels[part], order, values, axis=1)
    return channels


def longest_lookback() -> int:
    """Bars before its own that the longest mean of the scaled levels needs."""
    return max(factor.lookback_bars for factor in find_factors(factor_names(_SET)))


def _own_bars(
    panel: Panel, symbols: npt.NDArray[np.intp]
) -> tuple[Panel, npt.NDArray[np.intp]]:
    """Move each symbol's bars to the front; and the places (s, T, 1) they came from."""
    fields = [panel.fields.index(name) for name in OHLCV]
    values = panel.values[symbols][:, :, fields]
    missing = np.isnan(values).any(axis=2)
    order = np.argsort(missing, axis=1, kind="stable")[:, :, None]
    values[missing] = np.nan
    packed = np.take_along_axis(values, order, axis=1)
    names = tuple(panel.symbols[symbol] for symbol in symbols)
    there = np.isfinite(packed[:, :, 0])
    own = Panel(names, panel.timestamps, OHLCV, packed, there)
    return own, order
