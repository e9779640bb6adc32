"""From raw bars to bars that can be trusted, with every row accounted for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.bars.account import (
    check_account,
    refuse_too_many,
    summarise,
)
from ranking_pipeline.bars.config import ChecksConfig
from ranking_pipeline.bars.flags import likely_splits, reverting_outliers, stale_bars
from ranking_pipeline.bars.quality import QualityLog, quarantine_table
from ranking_pipeline.bars.readers import Reading
from ranking_pipeline.bars.rows import Codes, Mask, Rows, read_rows, select_rows
from ranking_pipeline.bars.rules import (
    PRICES,
    ROW_RULES,
    judge_duplicates,
    judge_rows,
    outside_range,
)


@dataclass(frozen=True)
class CleanBars:
    """Bars, and the account of every row that was read.

    Attributes
    ----------
    bars : DataFrame
        timestamp (END of the bar, UTC), symbol (category), open, high, low, close,
        volume (float64), tradable (bool); sorted by (timestamp, symbol).
    quarantine : DataFrame
        The rows set aside with their original values, the rule and the action.
    quality : DataFrame
        rule, action, rows, symbols, example.
    summary : dict
        Counts with rows_in = rows_kept + rows_repaired + rows_quarantined.
    """

    bars: pd.DataFrame
    quarantine: pd.DataFrame
    quality: pd.DataFrame
    summary: dict[str, Any]


def check_bars(
    raw: pd.DataFrame,
    config: ChecksConfig,
    *,
    reading: Reading | None = None,
    now: pd.Timestamp | None = None,
) -> CleanBars:
    """Judge every raw row: keep, repair or set aside, and flag what is doubtful.

    Parameters
    ----------
    raw
        Raw bars from a reader or the simulator.
    config
        The rules.
    reading
        What the reader saw besides the rows.
    now
        An instant in UTC; bars that start later are refused. None leaves the rule out.

    Raises
    ------
    UserError
        No rows are left, a requested symbol has none, or too many were set aside; and
        as :func:`~ranking_pipeline.bars.timestamps.bar_times`.
    """
    reading = reading or Reading(_named_source(raw))
    everything = read_rows(raw, config, reading.source)
    selected = select_rows(everything, config)
    rows = everything if selected.all() else everything.take(selected)
    verdict = judge_rows(rows.codes, rows.times, rows.numbers, config, now)
    verdict = judge_duplicates(
        rows.codes,
        rows.times.end,
        rows.numbers.values,
        verdict,
        keep_last=config.conflict_rule == "keep_last",
    )
    log = QualityLog(rows.raw, rows.codes)
    for code, rule in enumerate(ROW_RULES[1:], start=1):
        log.add(rule, "quarantined", verdict == code)
    refuse_too_many(rows, verdict, config, reading)
    bars, repaired = _clean(rows, verdict, config, log)
    _log_reading(rows, reading, log)
    summary = summarise(
        rows, verdict, bars, repaired=repaired, config=config, reading=reading
    )
    summary["rows_not_selected"] = int((~selected).sum())
    quarantine = quarantine_table(
        rows.raw, verdict, config.conflict_rule == "keep_last"
    )
    check_account(summary, bars, quarantine)
    return CleanBars(bars, quarantine, log.table(), summary)


def _named_source(raw: pd.DataFrame) -> str:
    names = [str(name) for name in raw["source_file"].unique()]
    return names[0] if len(names) == 1 else "frame"


def _clean(
    rows: Rows, verdict: npt.NDArray[np.int8], config: ChecksConfig, log: QualityLog
) -> tuple[pd.DataFrame, int]:
    """Sorted, repaired and adjusted bars, and how many rows a repair changed."""
    sound = np.flatnonzero(verdict == 0)
    order = sound[np.lexsort((rows.times.end[sound], rows.codes[sound]))]
    values = {name: column[order] for name, column in rows.numbers.values.items()}
    codes, end = rows.codes[order], rows.times.end[order]
    widened = outside_range(values, config.range_tolerance)
    _widen(values)
    log.add("price_outside_range", "repaired", widened, order)
    _adjust(values, config)
    tradable = _log_flags(values, codes, end, config=config, log=log, order=order)
    _log_order(rows, sound, log)
    by_time = np.lexsort((codes, end))
    bars = pd.DataFrame(
        {
            "timestamp": pd.DatetimeIndex(end[by_time]).tz_localize("UTC"),
            "symbol": _category(codes[by_time], rows.names),
            **{name: values[name][by_time] for name in (*PRICES, "volume")},
            "tradable": tradable[by_time],
        }
    )
    return bars, int(widened.sum())


def _widen(values: dict[str, npt.NDArray[np.float64]]) -> None:
    """Let the range hold open and close: repairs, and excess within the tolerance."""
    prices = np.stack([values[name] for name in PRICES])
    values["high"], values["low"] = prices.max(axis=0), prices.min(axis=0)


def _adjust(values: dict[str, npt.NDArray[np.float64]], config: ChecksConfig) -> None:
    """Scale all four prices by one factor, so that returns include dividends.

    The factor knows of later dividends and splits. Volume is divided by it, so that the
    traded value, price times volume, stays what it was on the day.
    """
    if config.adjust_by_adj_close and "adj_close" in values:
        factor = values["adj_close"] / values["close"]
        for name in PRICES:
            values[name] = values[name] * factor
        values["volume"] = values["volume"] / factor


def _log_flags(
    values: dict[str, npt.NDArray[np.float64]],
    codes: Codes,
    end: npt.NDArray[np.datetime64],
    *,
    config: ChecksConfig,
    log: QualityLog,
    order: npt.NDArray[np.intp],
) -> Mask:
    quiet, unknown = values["volume"] == 0, np.isnan(values["volume"])
    stale = stale_bars(values, codes, config.stale_run_bars)
    known = {**values, "volume": np.nan_to_num(values["volume"])}
    log.add("zero_volume", "flagged", quiet, order)
    log.add("missing_volume", "flagged", unknown, order)
    log.add("stale_run", "flagged", stale, order)
    log.add("likely_split", "flagged", likely_splits(known, codes), order)
    spikes = reverting_outliers(values, codes, config.outlier_sigmas)
    log.add("reverting_outlier", "flagged", spikes, order)
    if not config.daily:
        since_epoch = end.astype("datetime64[ns]").view("i8")
        off_grid = since_epoch % config.bar_length.value != 0
        log.add("off_grid_timestamp", "flagged", off_grid, order)
    tradable: Mask = ~quiet & ~unknown & ~stale
    return tradable


def _log_order(rows: Rows, sound: npt.NDArray[np.intp], log: QualityLog) -> None:
    by_symbol = sound[np.argsort(rows.codes[sound], kind="stable")]
    codes, end = rows.codes[by_symbol], rows.times.end[by_symbol]
    back = np.zeros(len(by_symbol), dtype=bool)
    back[1:] = (codes[1:] == codes[:-1]) & (end[1:] < end[:-1])
    log.add("unsorted", "kept", back, by_symbol)


def _log_reading(rows: Rows, reading: Reading, log: QualityLog) -> None:
    log.add("number_stored_as_text", "kept", rows.numbers.from_text)
    for name, reason in reading.unreadable_files:
        log.note("unreadable_file", "quarantined", f"{name}: {reason}")
    folded: dict[str, list[str]] = {}
    for name in rows.names:
        folded.setdefault(name.casefold(), []).append(name)
    for names in folded.values():
        if len(names) > 1:
            log.note("symbols_differ_by_case", "flagged", " / ".join(names))


def _category(codes: Codes, names: tuple[str, ...]) -> pd.Categorical:
    used = np.unique(codes)
    categories = pd.Index([names[code] for code in used], dtype=str)
    return pd.Categorical.from_codes(
        np.searchsorted(used, codes), categories=categories
    )
