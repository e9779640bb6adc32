"""Between the dense panel and tables of bars."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from ranking_pipeline.panel import OHLCV, Panel


def bar_table(panel: Panel, block: slice) -> pd.DataFrame:
    """Make a table of all bars of a slice of the axis, tradable or not.

    Parameters
    ----------
    panel
        Checked bars.
    block
        Which bars of the time axis; ``slice(None)`` takes all.

    Returns
    -------
    DataFrame
        timestamp (END of the bar, UTC), symbol (category of all symbols of the panel),
        open, high, low, close, volume (float32), tradable; one row per bar that is
        there, sorted by (timestamp, symbol).
    """
    part = panel.cut(block)
    bars, symbols = np.nonzero(part.present.T)
    names = pd.Index(part.symbols, dtype=str)
    # Datetimes are taken as they are; the zone costs nothing when it is added last.
    stamps = pd.DatetimeIndex(part.timestamps[bars]).tz_localize("UTC")
    table = {
        "timestamp": stamps,
        "symbol": pd.Categorical.from_codes(symbols, categories=names),
    }
    values = part.values[symbols, bars]
    columns = {
        name: values[:, position]
        for position, name in enumerate(part.fields)
        if name in OHLCV
    }
    tradable = part.tradable[symbols, bars]
    return pd.DataFrame({**table, **columns, "tradable": tradable})


def bar_blocks(panel: Panel, rows_per_block: int) -> Iterator[pd.DataFrame]:
    """Make the same table in blocks of whole bars that follow each other.

    Parameters
    ----------
    panel
        Checked bars.
    rows_per_block
        Cells of a block, present or not; a block holds at least one bar.

    Yields
    ------
    DataFrame
        As :func:`bar_table`.
    """
    step = max(1, rows_per_block // max(1, panel.n_symbols))
    for first in range(0, panel.n_bars, step):
        yield bar_table(panel, slice(first, first + step))
