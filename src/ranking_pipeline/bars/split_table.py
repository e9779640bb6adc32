"""Splits as a table tells them: prices before each are brought to today's shares."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.bars.spells import read_table
from ranking_pipeline.errors import UserError
from ranking_pipeline.panel import OHLCV


def read_splits(path: str | Path) -> pd.DataFrame:
    """Read a table of splits.

    Parameters
    ----------
    path
        CSV file: symbol, date (the first trading date on the new basis), ratio (new
        shares for one old share: 2 for 2:1, 0.1 for a reverse split of 1:10).

    Returns
    -------
    DataFrame
        symbol (str), date (datetime64), ratio (float64).

    Raises
    ------
    UserError
        The file is missing, lacks a column, or holds a date or ratio that is none.
    """
    return read_dated_numbers(
        path,
        "data.defects.split_table",
        "ratio",
        lambda table: table["ratio"] > 0,
        "ratios as positive numbers",
    )


def read_dated_numbers(
    path: str | Path,
    parameter: str,
    column: str,
    fits: Callable[[pd.DataFrame], pd.Series],
    advice: str,
) -> pd.DataFrame:
    """Read a table symbol, date and one number.

    Parameters
    ----------
    path, parameter
        The file, and the key that names it.
    column
        Name of the number.
    fits
        Which rows of the table, numbers read, are possible ones.
    advice
        How to write them, for the message.

    Raises
    ------
    UserError
        The file is missing, lacks a column, or has a row that cannot be; the line is
        named.
    """
    where, names = f"{parameter}: {path}", ["symbol", "date", column]
    text = read_table(Path(path), parameter, ", ".join(names))
    missing = [name for name in names if name not in text]
    if missing:
        raise UserError(
            f"{where} has no column {', '.join(missing)}. Found: "
            f"{', '.join(text.columns)}. Wanted: {', '.join(names)}."
        )
    numbers = pd.to_numeric(text[column], errors="coerce").astype(np.float64)
    dates = pd.to_datetime(text["date"], format="%Y-%m-%d", errors="coerce")
    table = pd.DataFrame({"symbol": text["symbol"], "date": dates, column: numbers})
    wrong = dates.isna() | ~np.isfinite(numbers) | ~fits(table)
    if wrong.any():
        line = int(np.flatnonzero(wrong)[0])
        raise UserError(
            f"{where}, line {line + 2}: {', '.join(text.iloc[line][names])}. "
            f"Write dates as 2024-06-10 and {advice}."
        )
    return table


def adjust_for_splits(
    values: npt.NDArray[np.float32],
    symbols: tuple[str, ...],
    trading_dates: npt.NDArray[np.datetime64],
    splits: pd.DataFrame,
) -> npt.NDArray[np.int64]:
    """Divide prices before each split by its ratio and multiply volume, in place.

    Parameters
    ----------
    values : ndarray of float32, shape (S, T, 5)
    symbols : tuple of str, length S
    trading_dates : ndarray of datetime64[D], shape (T,)
    splits
        As :func:`read_splits` gives it; symbols that are not in the panel are left out.

    Returns
    -------
    ndarray of int64
        Cells ``symbol * T + bar`` of the bars that were changed.
    """
    place = {name: position for position, name in enumerate(symbols)}
    n_bars = len(trading_dates)
    factor = np.ones((len(symbols), n_bars))
    dates = splits["date"].to_numpy("datetime64[D]")
    for symbol, date, ratio in zip(
        splits["symbol"], dates, splits["ratio"], strict=True
    ):
        if symbol in place:
            factor[place[symbol], : np.searchsorted(trading_dates, date)] *= ratio
    for symbol in np.flatnonzero((factor != 1).any(axis=1)):
        own = factor[symbol]
        values[symbol, :, :4] /= own[:, None]
        values[symbol, :, OHLCV.index("volume")] *= own
    changed = (factor != 1) & ~np.isnan(values[:, :, OHLCV.index("close")])
    return np.flatnonzero(changed)
