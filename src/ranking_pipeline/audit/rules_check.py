"""Rules check: the user's rules for raw bars give the same panel whatever bars follow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.audit.check import CLEAN, LOOKS_AHEAD, NOT_COVERED, Check
from ranking_pipeline.audit.futures import alter_bars
from ranking_pipeline.audit.ingest_check import CHECK, different_cells
from ranking_pipeline.audit.raw_market import RawMarket, raw_market
from ranking_pipeline.bars.config import DataConfig
from ranking_pipeline.bars.prepare import prepare_bars
from ranking_pipeline.bars.source import BarSource
from ranking_pipeline.errors import UserError
from ranking_pipeline.panel import Panel

WHAT = "the rules of the section data, on example bars"
OUTLIERS = "data.defects.outliers: quarantine"
WAYS_AT_A_CUT, MOST_CUTS = 2, 60  # of a quick and of a full audit
Later = Callable[[pd.DataFrame, pd.Timestamp, int], pd.DataFrame]


def rules_checks(data: DataConfig, seed: int, *, every: bool = False) -> list[Check]:
    """Prepare a small raw market again and again, each time with other later rows.

    Parameters
    ----------
    data : DataConfig
        The rules for defects, the interval and the calendar are taken as they are; the
        source, the members and the sectors are those of the example.
    seed : int
    every : bool
        Cut after up to ``MOST_CUTS`` bars besides the events, in every way; else after
        the events, in some of them.

    Returns
    -------
    list of Check
        Prices, volume, who is tradable and sectors of every bar that has ended by the
        cut; and a row that says so where a rule looks ahead by its own description.
    """
    market = raw_market(data, seed)
    cuts = _spread_cuts(market) if every else market.events
    with TemporaryDirectory(prefix="audit-") as folder:
        prepare = _Preparation(data, market, Path(folder))
        rows = [_compared(prepare, cuts, len(WAYS) if every else WAYS_AT_A_CUT, seed)]
    if data.defects.outliers == "quarantine":
        reason = f"{OUTLIERS} needs the next bar, and the typical move of all of them"
        rows.append(Check(CHECK, OUTLIERS, "cells", 0, 0, 0, 0, 0, reason, NOT_COVERED))
    return rows


def _spread_cuts(market: RawMarket) -> Sequence[int]:
    bars = np.linspace(0, len(market.stamps) - 2, MOST_CUTS).astype(np.intp)
    return sorted({*market.events, *bars.tolist()})


@dataclass(frozen=True)
class _Preparation:
    """How rows of the example become a panel."""

    data: DataConfig
    market: RawMarket
    folder: Path

    def panel(self, rows: pd.DataFrame) -> Panel:
        paths = {
            name: self.folder / name for name in ("bars.parquet", "u.csv", "s.csv")
        }
        rows.to_parquet(paths["bars.parquet"])
        self.market.members.to_csv(paths["u.csv"], index=False)
        self.market.sectors.to_csv(paths["s.csv"], index=False)
        source = str(paths["bars.parquet"])
        config = _example_config(self.data).model_copy(
            update={
                "source": source,
                "universe": str(paths["u.csv"]),
                "sectors": str(paths["s.csv"]),
            }
        )
        found = prepare_bars(
            BarSource(source), config, seed=0, entry_lag_bars=1, now=None
        )
        return found.panel

    def end_of(self, bar: int) -> np.datetime64:
        """When a bar of the source has ended."""
        length = np.timedelta64(self.data.of_source().bar_length.value, "ns")
        return np.datetime64(self.market.stamps[bar] + length, "ns")


def _example_config(data: DataConfig) -> DataConfig:
    """The user's rules; what names the user's files or stops a run is left out."""
    kept = {
        "unknown_columns": "keep_aside",
        "text_numbers": "cast",
        "precision_loss": "flag",
        "unsorted_rows": "sort",
        "future_bars": "keep",
        "outliers": "flag",
        "split_table": None,
        "max_split_share": 1.0,
        "survivorship": "warn",
    }
    return data.model_copy(
        update={
            "defects": data.defects.model_copy(update=kept),
            "layout": "long",
            "bar_stamp": "start",
            "timezone": "UTC",
            "timestamp_format": None,
            "column_map": {},
            "symbols": [],
            "first_date": None,
            "last_date": None,
            "max_quarantined_share": 1.0,
            "max_quarantined_share_of_symbol": 1.0,
        }
    )


def _compared(
    prepare: _Preparation, cuts: Sequence[int], n_ways: int, seed: int
) -> Check:
    market, whole = prepare.market, prepare.panel(prepare.market.rows)
    compared = known = different = 0
    worst = ""
    for turn, cut in enumerate(cuts):
        for way in range(n_ways):
            name, later = WAYS[(turn * n_ways + way) % len(WAYS)]
            stamp = pd.Timestamp(market.stamps[cut])
            rows = later(market.rows, stamp, seed)
            try:
                other = prepare.panel(rows)
                n_bars = _ended(whole, prepare.end_of(cut))
                wrong, n_known = different_cells(whole, other, n_bars)
            except UserError as error:
                different, worst = different + 1, worst or f"{name} at {stamp}: {error}"
                continue
            compared, known = compared + wrong.size, known + n_known
            different += int(wrong.sum())
            if wrong.any() and not worst:
                worst = _in_words(whole, wrong, name, stamp)
    verdict = LOOKS_AHEAD if different else CLEAN if compared else NOT_COVERED
    counts = (compared, different, known, len(cuts), min(len(cuts) * n_ways, len(WAYS)))
    return Check(CHECK, WHAT, "cells", *counts, worst, verdict)


def _ended(panel: Panel, end: np.datetime64) -> int:
    """Bars of a panel that have ended by an instant."""
    return int(np.searchsorted(panel.timestamps, end, side="right"))


def _in_words(
    panel: Panel, wrong: npt.NDArray[np.bool_], way: str, stamp: pd.Timestamp
) -> str:
    symbol, bar, place = np.argwhere(wrong)[0]
    names = (*panel.fields, "tradable", "sector")
    return (
        f"{names[place]} of {panel.symbols[symbol]} at {panel.timestamps[bar]} changes "
        f"when {way} after the bar that starts at {stamp}"
    )


def _cut_off(rows: pd.DataFrame, after: pd.Timestamp, seed: int) -> pd.DataFrame:
    del seed
    return rows[rows["timestamp"] <= after]


def _other_prices(rows: pd.DataFrame, after: pd.Timestamp, seed: int) -> pd.DataFrame:
    altered = alter_bars(rows, after, seed)
    later = altered["timestamp"] > after
    altered.loc[later, "adj_close"] *= 3.0
    return altered


def _equal_bars(rows: pd.DataFrame, after: pd.Timestamp, seed: int) -> pd.DataFrame:
    """Every symbol repeats its last bar for ever."""
    del seed
    altered = rows.copy()
    prices = ["open", "high", "low", "close", "adj_close"]
    later = altered["timestamp"] > after
    known = altered[prices].mask(later).groupby(altered["symbol"]).ffill()
    altered.loc[later, prices] = known[later]
    return altered


def _half_end(rows: pd.DataFrame, after: pd.Timestamp, seed: int) -> pd.DataFrame:
    names = np.unique(rows["symbol"].to_numpy(str))
    gone = np.random.default_rng(seed).permutation(names)[: len(names) // 2]
    return rows[(rows["timestamp"] <= after) | ~rows["symbol"].isin(list(gone))]


WAYS: tuple[tuple[str, Later], ...] = (
    ("the rows end", _cut_off),
    ("the prices are other ones", _other_prices),
    ("every bar repeats the last one", _equal_bars),
    ("half of the symbols end", _half_end),
)
