"""Delistings: what the holders of a name that ended got, as a table tells it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.bars.split_table import read_dated_numbers
from ranking_pipeline.errors import UserError
from ranking_pipeline.panel import Panel


def read_delistings(path: str | Path) -> pd.DataFrame:
    """Read a table of delistings.

    Parameters
    ----------
    path
        CSV file: symbol, date (the last trading date), return (from the last close to
        what holders got: -1 for nothing, 0 for the last price).

    Returns
    -------
    DataFrame
        symbol (str), date (datetime64), return (float64).

    Raises
    ------
    UserError
        The file is missing, lacks a column, or holds a date or return that is none.
    """
    return read_dated_numbers(
        path,
        "data.labels.delistings",
        "return",
        lambda table: (table["return"] >= -1) & ~table["symbol"].duplicated(),
        "returns as numbers from -1, each symbol once",
    )


def no_delistings() -> pd.DataFrame:
    """The table where none is known: :func:`read_delistings` without a row."""
    columns = {"symbol": "str", "date": "datetime64[ns]", "return": "float64"}
    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in columns.items()})


def closes_with_payouts(
    panel: Panel, delistings: pd.DataFrame
) -> npt.NDArray[np.float64]:
    """Closes, and after each delisting what a share was worth to its holder.

    Parameters
    ----------
    panel : Panel
    delistings : DataFrame
        As :func:`read_delistings` gives it; other symbols are left out.

    Returns
    -------
    ndarray of float64, shape (S, T)
        From the first bar after the delisting's date on, the last close before it times
        1 + return. A bar depends on earlier bars and on the table alone.

    Raises
    ------
    UserError
        A symbol has bars after the date of its delisting.
    """
    closes = panel.field("close").astype(np.float64)
    rows = delistings[delistings["symbol"].isin(panel.symbols)]
    symbols = panel.symbol_positions(rows["symbol"].to_numpy(object))
    dates = rows["date"].to_numpy("M8[s]").astype("M8[D]")
    firsts = np.searchsorted(panel.trading_dates, dates, side="right")
    for symbol, first, paid in zip(symbols, firsts, rows["return"], strict=True):
        if np.isfinite(closes[symbol, first:]).any():
            raise UserError(
                f"data.labels.delistings: {panel.symbols[symbol]} has bars after its "
                "delisting. Correct the date, or take the symbol off the table."
            )
        traded = closes[symbol, :first][np.isfinite(closes[symbol, :first])]
        if len(traded):
            closes[symbol, first:] = traded[-1] * (1.0 + paid)
    return closes
