"""What is known of each symbol: its sector and the span of its bars."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.bars.sectors import with_sectors
from ranking_pipeline.panel import Panel

UNKNOWN_SECTOR = "unknown"


def security_master(panel: Panel, sector_table: pd.DataFrame | None) -> pd.DataFrame:
    """One row per symbol of ``panel``.

    Parameters
    ----------
    panel
        Checked bars.
    sector_table
        As :func:`~ranking_pipeline.bars.sectors.read_sectors` gives it; None = the
        sectors that the panel carries.

    Returns
    -------
    DataFrame
        symbol, sector (the latest that is known on a trading date of the panel, or
        ``"unknown"``), n_sectors (different ones over its trading dates),
        first_timestamp, last_timestamp (UTC; NaT without bars), n_bars, delisted;
        sorted by symbol. ``delisted``: its last bar lies on an earlier trading date
        than the last one of all, so that a thin name without the very last intraday bar
        is not taken for one that left.
    """
    if sector_table is not None:
        panel = with_sectors(panel, sector_table)
    present = panel.present
    n_bars = present.sum(axis=1)
    first = present.argmax(axis=1)
    last = panel.n_bars - 1 - present[:, ::-1].argmax(axis=1)
    latest, n_sectors = _sectors(panel)
    return pd.DataFrame(
        {
            "symbol": pd.Series(panel.symbols, dtype=str),
            "sector": pd.Series(latest, dtype=str),
            "n_sectors": n_sectors,
            "first_timestamp": _stamps(panel, first, n_bars),
            "last_timestamp": _stamps(panel, last, n_bars),
            "n_bars": n_bars,
            "delisted": panel.trading_dates[last] < panel.trading_dates[-1],
        }
    )


def _sectors(panel: Panel) -> tuple[npt.NDArray[np.str_], npt.NDArray[np.int64]]:
    """Latest known sector, and number of different ones, each of shape (S,)."""
    known = panel.sectors >= 0
    last = panel.n_bars - 1 - known[:, ::-1].argmax(axis=1)
    # Code -1 picks the name appended for what is not known.
    code = panel.sectors[np.arange(panel.n_symbols), last]
    names = np.array([*panel.sector_names, UNKNOWN_SECTOR])
    seen = [(panel.sectors == i).any(axis=1) for i in range(len(panel.sector_names))]
    return names[code], np.sum(seen, axis=0, dtype=np.int64) * np.ones_like(last)


def _stamps(
    panel: Panel, bars: npt.NDArray[np.intp], n_bars: npt.NDArray[np.intp]
) -> pd.DatetimeIndex:
    stamps = np.where(n_bars > 0, panel.timestamps[bars], np.datetime64("NaT", "ns"))
    return pd.DatetimeIndex(stamps).tz_localize("UTC")
