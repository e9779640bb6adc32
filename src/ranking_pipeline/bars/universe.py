"""Universe: which symbols were members on which date, and what the bars lack of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.bars.spells import (
    DAY,
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
from ranking_pipeline.wording import shortened

DateArray = npt.NDArray[np.datetime64]
BoolArray = npt.NDArray[np.bool_]

_SPANS_SHOWN = 3
_COLUMNS = {
    "symbol": ("ticker", "tic"),
    "start_date": ("first", "first_date", "start"),
    "end_date": ("last", "last_date", "end"),
}


def read_spells(path: str | Path) -> pd.DataFrame:
    """Read a file of membership spells.

    Parameters
    ----------
    path
        CSV file with the columns symbol, start_date, end_date (or symbol, first,
        last); both dates belong to the spell, and an empty end means still a member.

    Returns
    -------
    DataFrame
        symbol, first, last (datetime64, NaT = still a member), sorted by symbol and
        first; spells of one symbol that touch, so that one begins on the last date of
        the other or the day after, are merged.

    Raises
    ------
    UserError
        The file, a column or a date cannot be read, or spells are inverted or overlap;
        the message lists them.
    """
    where = f"data.universe: {path}"
    table = read_table(Path(path), "data.universe", "symbol, start_date, end_date")
    try:
        return tidy_spells(table)
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


def tidy_spells(table: pd.DataFrame) -> pd.DataFrame:
    """Check, sort and merge spells; see :func:`read_spells`."""
    table = named_columns(table, _COLUMNS, optional=())
    spells = pd.DataFrame({"symbol": table["symbol"].astype(str).str.strip()})
    for name, theirs in (("first", "start_date"), ("last", "end_date")):
        spells[name] = as_column(parse_dates(table[theirs], theirs))
    nameless = (spells["symbol"] == "") | spells["first"].isna()
    refuse_spells(
        nameless.to_numpy(bool), spells, "spells lack a symbol or a start_date"
    )
    inverted = (spells["last"] < spells["first"]).to_numpy(bool)
    refuse_spells(inverted, spells, "spells end before they begin")
    spells = spells.sort_values(["symbol", "first", "last"], ignore_index=True)
    return _merge_touching(spells)


def _merge_touching(spells: pd.DataFrame) -> pd.DataFrame:
    symbol = spells["symbol"].to_numpy(str)
    first = spells["first"].to_numpy("M8[s]").astype("M8[D]")
    last = bound(spells["last"], LAST_DATE)
    follows = np.append(False, symbol[1:] == symbol[:-1])[: len(spells)]
    before = np.append(LAST_DATE, last[:-1])[: len(spells)]
    overlaps = follows & (first < before)
    both = overlaps | np.append(overlaps[1:], False)[: len(spells)]
    refuse_spells(both, spells, "spells of one symbol overlap")
    opens = ~(follows & (first <= before + DAY))
    start = np.flatnonzero(opens)
    stop = np.append(start[1:], len(spells))[: len(start)] - 1
    merged = spells.iloc[start].reset_index(drop=True)
    merged["last"] = spells["last"].to_numpy()[stop]
    return merged


def membership(
    spells: pd.DataFrame, symbols: Sequence[str], trading_dates: DateArray
) -> BoolArray:
    """Where a symbol was a member, shape (S, T).

    Parameters
    ----------
    spells
        As :func:`read_spells` gives them.
    symbols : S names, sorted and unique
        A symbol without a spell is never a member.
    trading_dates : ndarray of datetime64[D], shape (T,)
        Never decreasing.
    """
    ones = np.ones(len(spells), dtype=np.int16)
    return spread_spells(spells, ones, symbols, trading_dates) > 0


def apply_universe(panel: Panel, member: BoolArray) -> Panel:
    """Keep only members tradable; all bars stay, for what looks back over them.

    Raises
    ------
    UserError
        No bar of a member is left.
    """
    tradable = panel.tradable & member
    if panel.tradable.any() and not tradable.any():
        raise UserError(
            "data.universe: none of its members has a tradable bar on a date of its "
            f"membership. Do the bars name symbols alike ({panel.symbols[0]})?"
        )
    return replace(panel, tradable=tradable)


def coverage(spells: pd.DataFrame, panel: Panel, dates: DateArray) -> pd.DataFrame:
    """How many members of each date the panel holds.

    Parameters
    ----------
    spells
        As :func:`read_spells` gives them.
    panel
        Bars.
    dates : ndarray of datetime64[D], shape (n,)
        Never decreasing.

    Returns
    -------
    DataFrame
        date, members, held (symbols that the panel holds at all), with_bar (those with
        a bar on that date), share (held / members; NaN without members).
    """
    names = np.unique(spells["symbol"].to_numpy(str)).tolist()
    members = membership(spells, names, dates).sum(axis=0)
    ours = membership(spells, panel.symbols, dates)
    begin = np.searchsorted(panel.trading_dates, dates)
    end = np.searchsorted(panel.trading_dates, dates, side="right")
    present = panel.present
    traded = [
        present[:, a:b].any(axis=1) & ours[:, i]
        for i, (a, b) in enumerate(zip(begin, end, strict=True))
    ]
    held = ours.sum(axis=0)
    return pd.DataFrame(
        {
            "date": as_column(dates),
            "members": members,
            "held": held,
            "with_bar": [int(mask.sum()) for mask in traded],
            "share": np.where(members > 0, held / np.maximum(members, 1), np.nan),
        }
    )


def survivorship(spells: pd.DataFrame, panel: Panel) -> dict[str, Any]:
    """Share of the members that the panel holds, over its years.

    Names that left the index are the first to be missing from a source, and leaving
    them out flatters results (Brown, Goetzmann, Ibbotson and Ross 1992).

    Parameters
    ----------
    spells
        As :func:`read_spells` gives them.
    panel
        Bars.

    Returns
    -------
    dict
        ``dates``: the rows of :func:`coverage` at the first trading date and at the
        last one of each year, dates as text, a share None without members; ``share``:
        the smallest share, None when no date has members; ``warning``: a sentence with
        its figures, empty when every member is held; ``without_members``: a sentence on
        the dates that have no member, empty when each has one.
    """
    table = coverage(spells, panel, _first_and_year_ends(panel.trading_dates))
    table["date"] = table["date"].dt.strftime("%Y-%m-%d")
    table["share"] = table["share"].astype(object).where(table["members"] > 0, None)
    rows = table.to_dict("records")
    known = [row for row in rows if row["members"] > 0]
    worst = min(known, key=lambda row: float(row["share"]), default=None)
    warning = ""
    if worst and worst["held"] < worst["members"]:
        warning = (
            f"Of {worst['members']} members on {worst['date']} the bars hold "
            f"{worst['held']} ({worst['share']:.1%}): the names that are missing "
            "probably left the market or the index, which flatters results."
        )
    return {
        "dates": rows,
        "share": worst and worst["share"],
        "warning": warning,
        "without_members": _without_members(spells, panel.trading_dates),
    }


def _without_members(spells: pd.DataFrame, trading_dates: DateArray) -> str:
    """Say on which trading dates nobody is a member; empty where each has one."""
    dates: DateArray = np.unique(trading_dates)
    names = np.unique(spells["symbol"].to_numpy(str)).tolist()
    bare = dates[~membership(spells, names, dates).any(axis=0)]
    if not len(bare):
        return ""
    at = np.searchsorted(dates, bare)
    runs = np.split(bare, np.flatnonzero(np.diff(at) > 1) + 1)
    spans = shortened([f"{run[0]} to {run[-1]}" for run in runs], _SPANS_SHOWN)
    return (
        f"data.universe has no member on {len(bare):,} of {len(dates):,} trading dates "
        f"({spans}): no name is ranked or traded on them."
    )


def _first_and_year_ends(trading_dates: DateArray) -> DateArray:
    dates: DateArray = np.unique(trading_dates)
    year = dates.astype("M8[Y]")
    chosen = np.append(year[1:] != year[:-1], True)[: len(dates)]
    chosen[:1] = True
    return np.asarray(dates[chosen])
