"""Sectors with dates: the sector a symbol had on each trading date."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.bars.spells import (
    DAY,
    FIRST_DATE,
    LAST_DATE,
    as_column,
    bound,
    named_columns,
    parse_dates,
    read_table,
    refuse_spells,
    spread_spells,
)
from ranking_pipeline.errors import UserError
from ranking_pipeline.panel import Panel

DateArray = npt.NDArray[np.datetime64]

# The date on which a symbol joined an index (date_added) says nothing of its sector.
_COLUMNS = {
    "symbol": ("ticker", "tic"),
    "sector": ("gics_sector", "sector_name"),
    "valid_from": ("effective_from", "from_date"),
    "valid_to": ("effective_to", "to_date"),
}


def read_sectors(source: str | Path | pd.DataFrame) -> pd.DataFrame:
    """Read the sectors of symbols.

    Parameters
    ----------
    source
        Frame, or CSV file, with the columns symbol and sector and, where sectors
        change, valid_from and valid_to. A row without valid_from holds since ever; a
        row without valid_to holds until the next one of its symbol. Both dates belong
        to the span. A dated row with an empty sector says that it is unknown.

    Returns
    -------
    DataFrame
        symbol, sector, valid_from, valid_to (datetime64; NaT = without bound); sorted
        by symbol and valid_from, the spans of one symbol apart.

    Raises
    ------
    UserError
        The file, a column or a date cannot be read, a span is inverted, or a symbol has
        two sectors on one date; the message lists them.
    """
    if isinstance(source, pd.DataFrame):
        where, table = "the table of sectors", source
    else:
        where = f"data.sectors: {source}"
        table = read_table(Path(source), "data.sectors", "symbol and sector")
    try:
        return _tidy(table)
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


def sector_codes(
    table: pd.DataFrame, symbols: Sequence[str], trading_dates: DateArray
) -> tuple[npt.NDArray[np.int16], tuple[str, ...]]:
    """Sector of each symbol on each trading date.

    Parameters
    ----------
    table
        As :func:`read_sectors` gives it.
    symbols : S names, sorted and unique
    trading_dates : ndarray of datetime64[D], shape (T,)
        Never decreasing.

    Returns
    -------
    codes : ndarray of int16, shape (S, T)
        Position in ``names``; -1 where the sector is not known.
    names : tuple of str
        The sectors of these symbols in the order of the alphabet, so that the codes do
        not depend on how symbols are named.
    """
    own = table[table["symbol"].isin(list(symbols))]
    named = own["sector"].to_numpy(str)
    names = np.unique(named[named != ""])
    values = np.where(named == "", 0, np.searchsorted(names, named) + 1)
    spells = own.rename(columns={"valid_from": "first", "valid_to": "last"})
    codes = spread_spells(spells, values.astype(np.int16), symbols, trading_dates)
    return codes - np.int16(1), tuple(str(name) for name in names)


def with_sectors(panel: Panel, table: pd.DataFrame) -> Panel:
    """Panel whose cells carry the sectors of ``table``; see :func:`sector_codes`.

    Raises
    ------
    UserError
        The table knows none of the panel's symbols.
    """
    if not set(panel.symbols) & set(table["symbol"]):
        raise UserError(
            f"data.sectors: it has {len(table)} rows, and none is of a symbol of the "
            f"bars, as {panel.symbols[0]}. Write symbols alike in both, or set null."
        )
    codes, names = sector_codes(table, panel.symbols, panel.trading_dates)
    return replace(panel, sectors=codes, sector_names=names)


def _tidy(table: pd.DataFrame) -> pd.DataFrame:
    table = named_columns(table, _COLUMNS, optional=("valid_from", "valid_to"))
    sectors = pd.DataFrame({"symbol": _text(table["symbol"])})
    sectors["sector"] = _text(table["sector"])
    for name in ("valid_from", "valid_to"):
        dates = np.full(len(table), np.datetime64("NaT"), dtype="M8[D]")
        if name in table:
            dates = parse_dates(table[name], name)
        sectors[name] = as_column(dates)
    nameless = (sectors["symbol"] == "").to_numpy(bool)
    refuse_spells(nameless, sectors, "rows lack a symbol")
    inverted = (sectors["valid_to"] < sectors["valid_from"]).to_numpy(bool)
    refuse_spells(inverted, sectors, "spans end before they begin")
    dated = sectors["valid_from"].notna() | sectors["valid_to"].notna()
    sectors = sectors[dated | (sectors["sector"] != "")].drop_duplicates()
    order = ["symbol", "valid_from", "valid_to", "sector"]
    sectors = sectors.sort_values(order, na_position="first", ignore_index=True)
    return _apart(sectors)


def _text(column: pd.Series) -> pd.Series:
    return column.where(column.notna(), "").astype(str).str.strip()


def _apart(sectors: pd.DataFrame) -> pd.DataFrame:
    """End each open span on the day before the next one of its symbol."""
    symbol = sectors["symbol"].to_numpy(str)
    first = bound(sectors["valid_from"], FIRST_DATE)
    last = bound(sectors["valid_to"], LAST_DATE)
    followed = np.append(symbol[1:] == symbol[:-1], False)[: len(sectors)]
    next_first = np.append(first[1:], LAST_DATE)[: len(sectors)]
    told = sectors["valid_to"].notna().to_numpy(bool)
    # An open span gives way to a later one; two that begin alike contradict each other.
    clash = followed & ((first == next_first) | (told & (last >= next_first)))
    both = clash | np.append(False, clash[:-1])[: len(sectors)]
    why = (
        "a symbol has more than one sector on one date (keep one row, or part them by "
        "valid_from and valid_to)"
    )
    refuse_spells(both, sectors, why)
    ends = np.where(followed & ~told, next_first - DAY, last)
    sectors["valid_to"] = as_column(
        np.where(followed | told, ends, np.datetime64("NaT", "D"))
    )
    return sectors
