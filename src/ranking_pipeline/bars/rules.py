"""Row rules: which single rows of raw bars cannot be trusted, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.bars.config import ChecksConfig
from ranking_pipeline.bars.timestamps import BarTimes

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

PRICES = ("open", "high", "low", "close")
NUMBERS = (*PRICES, "volume", "adj_close")
_MISSING_TEXTS = ("", "na", "n/a", "nan", "null", "none")
_FRIDAY = 4

# A row is judged by the first rule that it breaks.
SOUND = "sound"
ROW_RULES = (
    SOUND,
    "missing_symbol",
    "unreadable_timestamp",
    "future_timestamp",
    "weekend_bar",
    "unreadable_number",
    "missing_price",
    "non_positive_price",
    "invalid_volume",
    "price_outside_range",
    "invalid_adj_close",
    "conflicting_duplicate",
    "exact_duplicate",
)
RULE_CODE = {rule: code for code, rule in enumerate(ROW_RULES)}


@dataclass(frozen=True)
class Numbers:
    """The numeric columns of raw bars as float64.

    Attributes
    ----------
    values : mapping of ndarray, each of shape (n,)
        NaN where a cell is missing or cannot be read.
    unreadable : ndarray of bool, shape (n,)
        Rows with a cell that holds something which is no number.
    from_text : ndarray of bool, shape (n,)
        Rows with a number that was stored as text.
    """

    values: Mapping[str, Array]
    unreadable: Mask
    from_text: Mask


def read_numbers(raw: pd.DataFrame) -> Numbers:
    """Cast the numeric columns without loss; a cell that would lose is unreadable."""
    unreadable = np.zeros(len(raw), dtype=bool)
    from_text = np.zeros(len(raw), dtype=bool)
    values = {}
    for name in NUMBERS:
        if name in raw:
            values[name], bad, text = _read_column(raw[name])
            unreadable |= bad
            from_text |= text
    return Numbers(values, unreadable, from_text)


def _read_column(column: pd.Series) -> tuple[Array, Mask, Mask]:
    none = np.zeros(len(column), dtype=bool)
    if pd.api.types.is_bool_dtype(column.dtype):
        return np.full(len(column), np.nan), ~none, none
    if pd.api.types.is_numeric_dtype(column.dtype):
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
        lossy = none
        if pd.api.types.is_integer_dtype(column.dtype):
            limit = 2.0**53
            lossy = np.abs(values) >= limit
        return values, lossy, none
    present = column.notna().to_numpy(bool)
    texts = column.astype(str).str.strip().where(present, "")
    numbers = pd.to_numeric(texts, errors="coerce").to_numpy(
        np.float64, na_value=np.nan
    )
    said = present & ~texts.str.lower().isin(_MISSING_TEXTS).to_numpy(bool)
    stored_as_text = column.map(lambda cell: isinstance(cell, str)).to_numpy(bool)
    return numbers, said & np.isnan(numbers), stored_as_text & ~np.isnan(numbers)


def judge_rows(
    codes: npt.NDArray[np.int64],
    times: BarTimes,
    numbers: Numbers,
    config: ChecksConfig,
    now: pd.Timestamp | None,
) -> npt.NDArray[np.int8]:
    """Find the first broken rule of each row.

    Parameters
    ----------
    codes : ndarray of int, shape (n,)
        Position of the row's symbol, -1 where it is missing.
    times, numbers
        The row's time and values.
    config
        Tolerances and which rules are on.
    now
        Bars that start later are refused; None leaves that rule out.

    Returns
    -------
    ndarray of int8, shape (n,)
        Position in ``ROW_RULES``; 0 is a sound row. Duplicates are judged elsewhere.
    """
    verdict = np.zeros(len(codes), dtype=np.int8)
    for rule, broken in _row_masks(codes, times, numbers, config, now).items():
        verdict[(verdict == 0) & broken] = RULE_CODE[rule]
    return verdict


def _row_masks(
    codes: npt.NDArray[np.int64],
    times: BarTimes,
    numbers: Numbers,
    config: ChecksConfig,
    now: pd.Timestamp | None,
) -> dict[str, Mask]:
    values = numbers.values
    prices = np.stack([values[name] for name in PRICES])
    unknown = np.isnat(times.end)
    masks: dict[str, Mask] = {
        "missing_symbol": codes < 0,
        "unreadable_timestamp": unknown,
        "unreadable_number": numbers.unreadable,
        "missing_price": ~np.asarray(np.isfinite(prices).all(axis=0)),
        "non_positive_price": np.asarray((prices <= 0).any(axis=0)),
        "invalid_volume": (values["volume"] < 0) | np.isinf(values["volume"]),
        "price_outside_range": np.zeros(len(codes), dtype=bool),
        "invalid_adj_close": np.zeros(len(codes), dtype=bool),
    }
    if now is not None:
        latest = now.tz_convert("UTC").tz_localize(None) + config.bar_length
        masks["future_timestamp"] = ~unknown & (times.end > latest.to_datetime64())
    if config.daily and config.weekend_rule == "quarantine":
        masks["weekend_bar"] = ~unknown & (_weekday(times.trading_date) > _FRIDAY)
    if config.range_rule == "quarantine":
        masks["price_outside_range"] = outside_range(values, config.range_tolerance)
    if "adj_close" in values and config.adjust_by_adj_close:
        adjusted = values["adj_close"]
        masks["invalid_adj_close"] = ~np.isfinite(adjusted) | (adjusted <= 0)
    return {rule: masks[rule] for rule in ROW_RULES if rule in masks}


def outside_range(values: Mapping[str, Array], tolerance: float) -> Mask:
    """Rows whose open or close leaves [low, high], or whose high is below their low."""
    top = np.maximum(values["open"], values["close"])
    bottom = np.minimum(values["open"], values["close"])
    high, low = values["high"], values["low"]
    above = np.maximum(top, low) > high * (1 + tolerance)
    below = np.minimum(bottom, high) < low * (1 - tolerance)
    mask: Mask = above | below
    return mask


def _weekday(dates: npt.NDArray[np.datetime64]) -> npt.NDArray[np.int64]:
    """Monday is 0; the first day of 1970 was a Thursday."""
    days = dates.astype("datetime64[D]").astype(np.int64)
    return np.asarray((days + 3) % 7)


def judge_duplicates(
    codes: npt.NDArray[np.int64],
    end: npt.NDArray[np.datetime64],
    values: Mapping[str, Array],
    verdict: npt.NDArray[np.int8],
    keep_last: bool,
) -> npt.NDArray[np.int8]:
    """Judge sound rows that share symbol and time.

    Equal rows are merged into the first; where values differ no row is believed, or,
    with ``keep_last``, the last one in source order. NaN equals NaN.

    Returns
    -------
    ndarray of int8, shape (n,)
        ``verdict`` with the two duplicate rules filled in.
    """
    verdict = verdict.copy()
    rows = np.flatnonzero(verdict == 0)
    rows = rows[np.lexsort((end[rows], codes[rows]))]
    first = np.ones(len(rows), dtype=bool)
    first[1:] = np.diff(codes[rows]) != 0
    first[1:] |= end[rows][1:] != end[rows][:-1]
    if first.all():
        return verdict
    group = np.cumsum(first) - 1
    leader = rows[np.flatnonzero(first)[group]]
    last = np.append(first[1:], True)
    differs = np.zeros(len(rows), dtype=bool)
    for column in values.values():
        here, there = column[rows], column[leader]
        differs |= (here != there) & ~(np.isnan(here) & np.isnan(there))
    conflict = np.bincount(group, weights=differs)[group] > 0
    spared = last if keep_last else np.zeros(len(rows), dtype=bool)
    verdict[rows[conflict & ~spared]] = RULE_CODE["conflicting_duplicate"]
    verdict[rows[~conflict & ~first]] = RULE_CODE["exact_duplicate"]
    return verdict
