"""Damage a few rows of good bars, in the ways in which real files are damaged."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.panel import OHLCV

_RUN_BARS = 12
_QUIET_BARS = 5
_PRICES = list(OHLCV[:4])


def plant_defects(
    raw: pd.DataFrame, rng: np.random.Generator
) -> tuple[pd.DataFrame, Mapping[str, int]]:
    """Damage single rows and two short runs of ``raw``.

    Parameters
    ----------
    raw
        Raw bars, sorted by symbol and time.
    rng
        Chooses the places.

    Returns
    -------
    damaged
        The bars with the damage; two rows are added at the end.
    planted
        Rule that must find the damage -> number of rows it must find. For the run of
        equal bars it is the length of the run, the first bar included.
    """
    raw = raw.copy()
    places = _places(raw, rng)
    raw.loc[places[0], "close"] = 0.0
    raw.loc[places[1], "open"] = np.nan
    high, low = raw["high"][places[2]], raw["low"][places[2]]
    raw.loc[places[2], "high"], raw.loc[places[2], "low"] = low, high
    raw.loc[places[3], "volume"] = -1.0
    run = np.arange(places[4], places[4] + _RUN_BARS)
    raw.loc[run, _PRICES] = np.tile(
        raw.loc[run[0], _PRICES].to_numpy(float), (_RUN_BARS, 1)
    )
    raw.loc[np.arange(places[5], places[5] + _QUIET_BARS), "volume"] = 0.0
    same, other = raw.loc[[places[6]]].copy(), raw.loc[[places[7]]].copy()
    other["close"] = other["high"]
    other["volume"] = other["volume"] + 1.0
    damaged = pd.concat([raw, same, other], ignore_index=True)
    damaged["source_row"] = np.arange(len(damaged), dtype=np.int64)
    return damaged, {
        "non_positive_price": 1,
        "missing_price": 1,
        "price_outside_range": 1,
        "invalid_volume": 1,
        "stale_run": _RUN_BARS,
        "zero_volume": _QUIET_BARS,
        "exact_duplicate": 1,
        "conflicting_duplicate": 2,
    }


def _places(raw: pd.DataFrame, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """First rows of eight damages, far apart and each run within one symbol."""
    codes = raw["symbol"].cat.codes.to_numpy()
    free = np.flatnonzero(codes[: -2 * _RUN_BARS] == codes[2 * _RUN_BARS :])
    blocks = np.array_split(free, 8)
    return np.array([rng.choice(block[:-_RUN_BARS]) for block in blocks]) + _QUIET_BARS
