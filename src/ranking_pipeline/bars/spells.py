"""Spells: facts about symbols that hold from a first to a last date."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.errors import UserError

DateArray = npt.NDArray[np.datetime64]
DAY = np.timedelta64(1, "D")
# Beyond every bar, and far from the ends of what an int64 holds.
FIRST_DATE, LAST_DATE = np.datetime64("0001-01-01", "D"), np.datetime64("9999-12-31")
_SHOWN = 5


def read_table(path: Path, parameter: str, wanted: str) -> pd.DataFrame:
    """Read a CSV file as text, where ``NA`` is a ticker and an empty cell is empty.

    Parameters
    ----------
    path
        The file.
    parameter
        The key that names it, for messages.
    wanted
        What the file should hold, for messages.

    Raises
    ------
    UserError
        The file is missing or no CSV in UTF-8.
    """
    path = path.expanduser()
    if not path.is_file():
        raise UserError(
            f"{parameter}: {path} does not exist. Give a CSV file with the columns "
            f"{wanted}, or null."
        )
    try:
        return pd.read_csv(path, dtype=str, keep_default_na=False)
    except ValueError as error:
        raise UserError(f"{parameter}: {path} is no CSV in UTF-8: {error}") from error


def named_columns(
    table: pd.DataFrame, names: Mapping[str, Sequence[str]], optional: Sequence[str]
) -> pd.DataFrame:
    """Pick columns by our name or a common one, whatever its case and spacing.

    Parameters
    ----------
    table
        A table as a user wrote it.
    names
        Our name -> other names for it, the best first.
    optional
        Our names that may be absent.

    Returns
    -------
    DataFrame
        Columns under our names, in the order of ``names``.

    Raises
    ------
    UserError
        A column that is not optional is absent.
    """
    found = {_plain(column): column for column in reversed(list(table.columns))}
    chosen = {
        ours: found[name]
        for ours, others in names.items()
        for name in reversed((ours, *others))
        if name in found
    }
    missing = [ours for ours in names if ours not in chosen and ours not in optional]
    if missing:
        raise UserError(
            f"no column {', '.join(missing)}. Found: "
            f"{', '.join(map(str, table.columns))}. Wanted: {', '.join(names)}."
        )
    return pd.DataFrame({ours: table[theirs] for ours, theirs in chosen.items()})


def _plain(column: object) -> str:
    return str(column).strip().lower().replace(" ", "_").replace("-", "_")


def parse_dates(texts: pd.Series, column: str) -> DateArray:
    """Dates in ISO 8601 as datetime64[D], shape (n,); an empty cell gives NaT.

    Raises
    ------
    UserError
        A cell is neither empty nor a date, by row and text.
    """
    if texts.dtype.kind == "M":
        return texts.to_numpy("M8[s]").astype("M8[D]")
    plain = texts.astype(str).str.strip()
    empty = texts.isna() | plain.isin(["", "NaT", "nan", "None"])
    dates = pd.to_datetime(plain.where(~empty), format="ISO8601", errors="coerce")
    wrong = (dates.isna() & ~empty).to_numpy(bool)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise UserError(
            f"{column} {plain.iloc[row]!r} in row {row + 2} is no date: "
            "write 2015-06-30, or leave the cell empty."
        )
    return dates.to_numpy("M8[s]").astype("M8[D]")


def as_column(dates: DateArray) -> npt.NDArray[np.datetime64]:
    """Dates in the coarsest unit that a column of pandas can hold."""
    return dates.astype("M8[s]")


def refuse_spells(wrong: npt.NDArray[np.bool_], spells: pd.DataFrame, why: str) -> None:
    """Raise UserError that lists the first spells where ``wrong`` is true.

    The columns of ``spells`` are texts, then the first and the last date.
    """
    if not wrong.any():
        return
    listed = "; ".join(
        ", ".join((*names, _span(first, last)))
        for *names, first, last in spells[wrong].head(_SHOWN).itertuples(index=False)
    )
    more = int(wrong.sum()) - _SHOWN
    raise UserError(f"{why}: {listed}{f' and {more} more' if more > 0 else ''}.")


def _span(first: pd.Timestamp, last: pd.Timestamp) -> str:
    if pd.isna(first) and pd.isna(last):
        return "without dates"
    if pd.isna(last):
        return f"from {first:%Y-%m-%d}"
    begin = "" if pd.isna(first) else f"{first:%Y-%m-%d} "
    return f"{begin}to {last:%Y-%m-%d}"


def spread_spells(
    spells: pd.DataFrame,
    values: npt.NDArray[np.signedinteger],
    symbols: Sequence[str],
    dates: DateArray,
) -> npt.NDArray[np.int16]:
    """Lay the values of spells out over symbols and dates.

    Parameters
    ----------
    spells
        symbol, first, last (both dates included; NaT = without bound); the spells of
        one symbol do not overlap.
    values : ndarray of int, shape (n,)
        Value of each spell.
    symbols : S names, sorted and unique
        Spells of other symbols are left out.
    dates : ndarray of datetime64[D], shape (T,)
        Never decreasing.

    Returns
    -------
    ndarray of int16, shape (S, T)
        The value of the spell that holds, 0 where none does.
    """
    # A step up where a spell begins and down behind its end, summed along the dates.
    steps = np.zeros((len(symbols), len(dates) + 1), dtype=np.int16)
    if not len(spells) or not len(symbols):
        return steps[:, :-1]
    axis, wanted = np.array(symbols, dtype=str), spells["symbol"].to_numpy(str)
    row = np.minimum(np.searchsorted(axis, wanted), len(axis) - 1)
    known = axis[row] == wanted
    begin = np.searchsorted(dates, bound(spells["first"], FIRST_DATE)[known])
    end = np.searchsorted(dates, bound(spells["last"], LAST_DATE)[known], side="right")
    np.add.at(steps, (row[known], begin), values[known])
    np.subtract.at(steps, (row[known], end), values[known])
    np.cumsum(steps, axis=1, out=steps)
    return steps[:, :-1]


def bound(column: pd.Series, without: np.datetime64) -> DateArray:
    """Dates of a column, with ``without`` in place of NaT."""
    dates = column.to_numpy("M8[s]").astype("M8[D]")
    return np.where(np.isnat(dates), without, dates)
