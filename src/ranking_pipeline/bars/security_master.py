"""What is known of each symbol: its sector and the span of its bars."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from ranking_pipeline.errors import UserError

UNKNOWN_SECTOR = "unknown"


def build_security_master(
    bars: pd.DataFrame, sectors: pd.DataFrame | str | Path | None
) -> pd.DataFrame:
    """One row per symbol of ``bars``.

    Parameters
    ----------
    bars
        Table of checked bars.
    sectors
        Frame or CSV file with the columns symbol and sector, or None. Symbols that it
        lacks get ``"unknown"``; symbols without bars are left out.

    Returns
    -------
    DataFrame
        symbol, sector, first_timestamp, last_timestamp, n_bars, delisted; sorted by
        symbol. ``delisted``: its last bar lies on an earlier UTC date than the last one
        of all, so that a thin name without the very last intraday bar is not taken for
        one that left.

    Raises
    ------
    UserError
        The file is missing, lacks a column, or names two sectors for one symbol.
    """
    groups = bars.groupby("symbol", observed=True)["timestamp"]
    spans = {"first_timestamp": groups.min(), "last_timestamp": groups.max()}
    master = pd.DataFrame({**spans, "n_bars": groups.size()}).reset_index()
    master["symbol"] = master["symbol"].astype(str)
    master = master.sort_values("symbol", ignore_index=True)
    last_date = _bar_date(master["last_timestamp"])
    master["delisted"] = (last_date < last_date.max()).to_numpy(bool)
    known = _sector_of(sectors)
    sectors_found = [known.get(name, UNKNOWN_SECTOR) for name in master["symbol"]]
    master.insert(1, "sector", pd.Series(sectors_found, dtype=str))
    return master


def _bar_date(ends: pd.Series) -> pd.Series:
    """Date of the instant before the end, since a daily bar ends at midnight."""
    return (ends - pd.Timedelta(1, unit="ns")).dt.floor("D")


def _sector_of(sectors: pd.DataFrame | str | Path | None) -> dict[str, str]:
    if sectors is None:
        return {}
    where = "the table of sectors"
    if not isinstance(sectors, pd.DataFrame):
        where = f"data.sectors: {sectors}"
        sectors = _read_sectors(Path(sectors))
    missing = [name for name in ("symbol", "sector") if name not in sectors]
    if missing:
        raise UserError(
            f"{where} has no column {', '.join(missing)}. Found: "
            f"{', '.join(map(str, sectors.columns))}. Wanted: symbol, sector."
        )
    pairs = sectors[["symbol", "sector"]].astype(str).drop_duplicates()
    pairs = pairs[pairs["sector"].str.strip() != ""]
    twice = pairs["symbol"].to_numpy()[pairs["symbol"].duplicated().to_numpy(bool)]
    if len(twice):
        raise UserError(
            f"{where} gives more than one sector for "
            f"{', '.join(np.unique(twice)[:5])}. Keep one row per symbol."
        )
    return dict(zip(pairs["symbol"], pairs["sector"], strict=True))


def _read_sectors(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise UserError(
            f"data.sectors: {path} does not exist. Give a CSV file with the columns "
            "symbol and sector, or null."
        )
    try:
        return pd.read_csv(path, dtype=str, keep_default_na=False)
    except ValueError as error:
        raise UserError(f"data.sectors: {path} is no CSV in UTF-8: {error}") from error
