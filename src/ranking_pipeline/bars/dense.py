"""The dense panel of a table of bars."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ranking_pipeline.panel import OHLCV, Panel


def build_panel(bars: pd.DataFrame) -> Panel:
    """Scatter bars into a dense array; a missing bar stays NaN.

    Parameters
    ----------
    bars
        Table of checked bars: timestamp (tz-aware), symbol, open, high, low, close,
        volume, tradable; one row per symbol and time, in any order.

    Returns
    -------
    Panel
        Shape (S, T, 5), float32; T is the union of the timestamps of all symbols.

    Raises
    ------
    ValueError
        Two rows share a symbol and a timestamp.
    """
    names, symbol = np.unique(
        bars["symbol"].astype(str).to_numpy(), return_inverse=True
    )
    stamps = bars["timestamp"].dt.tz_convert("UTC").dt.tz_localize(None)
    axis, bar = np.unique(stamps.to_numpy("datetime64[ns]"), return_inverse=True)
    shape = (len(names), len(axis))
    cell = symbol * shape[1] + bar
    if np.bincount(cell, minlength=1).max() > 1:
        raise ValueError("bars hold two rows with one symbol and timestamp")
    values = np.full((*shape, len(OHLCV)), np.nan, dtype=np.float32)
    flat = values.reshape(-1, len(OHLCV))
    for position, name in enumerate(OHLCV):
        flat[cell, position] = bars[name].to_numpy(np.float32)
    tradable = np.zeros(shape, dtype=bool)
    tradable.reshape(-1)[cell] = bars["tradable"].to_numpy(bool)
    return Panel(tuple(str(name) for name in names), axis, OHLCV, values, tradable)
