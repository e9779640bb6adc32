"""Example market: a small panel with every event at which a leak can show."""

from __future__ import annotations

import numpy as np

from ranking_pipeline.panel import OHLCV, DateArray, Panel
from ranking_pipeline.splits import Splits, make_splits

N_SYMBOLS, N_BARS = 8, 90
_SPLIT = np.float32(0.5)


def example_market(seed: int) -> tuple[Panel, Splits]:
    """Make business days of a random walk with holes.

    Two gaps, a late listing, a delisting, a split, single missing bars, bars without
    trade, and a symbol that changes its sector. What an audit finds on it says what the
    audit is worth, whatever the user's own bars contain.
    """
    random = np.random.default_rng(seed)
    shape = (N_SYMBOLS, N_BARS)
    close = 40 * np.exp(np.cumsum(random.normal(0, 0.02, shape), axis=1))
    opened = close * np.exp(random.normal(0, 0.01, shape))
    high = np.maximum(opened, close) * (1 + random.uniform(0.001, 0.02, shape))
    low = np.minimum(opened, close) * (1 - random.uniform(0.001, 0.02, shape))
    volume = np.exp(random.normal(12, 0.5, shape))
    values = np.stack([opened, high, low, close, volume], axis=-1).astype(np.float32)
    values[0, 40:43] = np.nan
    values[0, 60:62] = np.nan
    values[1, :25] = np.nan
    values[2, 70:] = np.nan
    values[3, 50:, :4] *= _SPLIT
    values[4][random.random(N_BARS) < 0.08] = np.nan
    values[5, 30:32, 4] = 0.0
    sectors = np.tile((np.arange(N_SYMBOLS) % 3)[:, None], N_BARS).astype(np.int16)
    sectors[6, 45:] = 2
    first = np.datetime64("2020-01-06", "D")
    days: DateArray = np.busday_offset(first, np.arange(N_BARS))
    stamps: DateArray = days.astype("M8[ns]")
    stamps += np.timedelta64(21, "h")
    panel = Panel(
        symbols=tuple(f"EX{number}" for number in range(N_SYMBOLS)),
        timestamps=stamps,
        fields=OHLCV,
        values=values,
        tradable=~np.isnan(values[:, :, 3]) & ~(values[:, :, 4] == 0),
        trading_dates=days,
        sectors=sectors,
        sector_names=("energy", "finance", "utilities"),
    )
    return panel, make_splits(panel.timestamps, 0.6, 0.2, 0)
