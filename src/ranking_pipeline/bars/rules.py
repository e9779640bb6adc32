"""Row rules: which single rows of raw bars cannot be trusted, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.bars.config import ChecksConfig

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Verdict = npt.NDArray[np.int8]

PRICES = ("open", "high", "low", "close")
NUMBERS = (*PRICES, "volume", "adj_close")
_MISSING_TEXTS = ("", "na", "n/a", "nan", "null", "none")

# The panel holds 32-bit numbers: what lies beyond them cannot be kept.
_LARGEST = float(np.finfo(np.float32).max)
_SMALLEST = float(np.finfo(np.float32).tiny)
# Above it a 64-bit number cannot tell one whole number from the next.
_EXACT_INTEGERS = 2.0**53

# A row is judged by the first rule that it breaks.
SOUND = "sound"
ROW_RULES = (
    SOUND,
    "missing_symbol",
    "unreadable_timestamp",
    "future_timestamp",
    "weekend_bar",
    "not_a_session",
    "outside_session",
    "unreadable_number",
    "missing_price",
    "non_positive_price",
    "invalid_volume",
    "price_outside_range",
    "invalid_adj_close",
    "conflicting_duplicate",
    "exact_duplicate",
    "zero_volume",
    "reverting_outlier",
)
RULE_CODE = {rule: np.int8(code) for code, rule in enumerate(ROW_RULES)}
# The row belongs to a symbol or a date that was not asked for.
UNSELECTED = np.int8(-1)


@dataclass(frozen=True)
class Numbers:
    """The numeric columns of raw bars as float64.

    Attributes
    ----------
    values : mapping of ndarray, each of shape (n,)
        NaN where a cell is missing or cannot be read.
    unreadable : ndarray of bool, shape (n,)
        Rows with a cell that holds something which is no number, or none that 64 bits
        can hold.
    from_text : ndarray of bool, shape (n,)
        Rows with a number that was stored as text.
    single : bool
        Whether all prices are stored in 32 bits.
    """

    values: Mapping[str, Array]
    unreadable: Mask
    from_text: Mask
    single: bool = False


def read_numbers(columns: Mapping[str, npt.NDArray[Any] | pd.Series]) -> Numbers:
    """Cast the numeric columns without loss; a cell that would lose is unreadable.

    Parameters
    ----------
    columns : mapping
        Our name -> the cells as stored; names that are not ours are left out.
    """
    length = len(next(iter(columns.values())))
    unreadable = np.zeros(length, dtype=bool)
    from_text = np.zeros(length, dtype=bool)
    values = {}
    for name in NUMBERS:
        if name in columns:
            values[name], bad, text = _read_column(columns[name])
            if bad is not None:
                unreadable |= bad
            if text is not None:
                from_text |= text
    single = all(columns[name].dtype == np.float32 for name in PRICES)
    return Numbers(values, unreadable, from_text, single)


def _read_column(
    column: npt.NDArray[Any] | pd.Series,
) -> tuple[Array, Mask | None, Mask | None]:
    """Values of one column, and where it is unreadable or text (None: nowhere)."""
    if pd.api.types.is_bool_dtype(column.dtype):
        return np.full(len(column), np.nan), np.ones(len(column), dtype=bool), None
    if pd.api.types.is_numeric_dtype(column.dtype):
        if isinstance(column, np.ndarray):
            values = column.astype(np.float64, copy=False)
        else:
            values = column.to_numpy(dtype=np.float64, na_value=np.nan)
        whole = pd.api.types.is_integer_dtype(column.dtype)
        return values, np.abs(values) >= _EXACT_INTEGERS if whole else None, None
    return _read_texts(pd.Series(column))


def _read_texts(column: pd.Series) -> tuple[Array, Mask, Mask]:
    present = column.notna().to_numpy(bool)
    texts = column.astype(str).str.strip().where(present, "")
    numbers = pd.to_numeric(texts, errors="coerce").to_numpy(
        np.float64, na_value=np.nan
    )
    said = present & ~texts.str.lower().isin(_MISSING_TEXTS).to_numpy(bool)
    stored_as_text = column.map(lambda cell: isinstance(cell, str)).to_numpy(bool)
    return numbers, said & np.isnan(numbers), stored_as_text & ~np.isnan(numbers)


def plainly_sound(
    numbers: Numbers, top: Array, bottom: Array, config: ChecksConfig
) -> Mask:
    """Rows that break no rule on numbers, found with few passes over the columns.

    A row that is not plainly sound has yet to be judged; one that is never breaks a
    rule of :func:`judge_numbers`.

    Parameters
    ----------
    numbers
        What the rows hold.
    top, bottom : ndarray, shape (n,)
        Largest and smallest of the four prices; NaN where one is missing.
    config
        Tolerances and which rules are on.
    """
    values, rules = numbers.values, config.defects
    # Comparisons with NaN are false, so that a missing price is never sound.
    sound = (bottom >= _SMALLEST) & (top <= _LARGEST)
    if rules.price_range == "quarantine":
        sound &= top <= values["high"] * (1 + rules.price_range_tolerance)
        sound &= bottom >= values["low"] * (1 - rules.price_range_tolerance)
    volume = values["volume"]
    least = volume > 0 if rules.zero_volume == "quarantine" else volume >= 0
    sound &= least & (volume <= _LARGEST)
    if config.adjust_by_adj_close and "adj_close" in values:
        adjusted = values["adj_close"]
        sound &= (adjusted > 0) & (adjusted <= _LARGEST)
    sound &= ~numbers.unreadable
    return np.asarray(sound)


def judge_numbers(numbers: Numbers, config: ChecksConfig) -> Verdict:
    """Find the first rule on numbers that each row breaks.

    Returns
    -------
    ndarray of int8, shape (n,)
        Position in ``ROW_RULES``; 0 is a sound row. Duplicates are judged elsewhere.
    """
    verdict = np.zeros(len(numbers.unreadable), dtype=np.int8)
    for rule, broken in _masks(numbers, config).items():
        verdict[(verdict == 0) & broken] = RULE_CODE[rule]
    return verdict


def _masks(numbers: Numbers, config: ChecksConfig) -> dict[str, Mask]:
    """Rows that break each rule, in the order of the rules."""
    values, rules = numbers.values, config.defects
    prices = np.stack([values[name] for name in PRICES])
    volume = values["volume"]
    too_large = np.isfinite(prices) & (np.abs(prices) > _LARGEST)
    masks: dict[str, Mask] = {
        "unreadable_number": numbers.unreadable | too_large.any(axis=0),
        "missing_price": ~np.asarray(np.isfinite(prices).all(axis=0)),
        "non_positive_price": np.asarray((prices < _SMALLEST).any(axis=0)),
        "invalid_volume": (volume < 0) | (volume > _LARGEST),
    }
    if rules.price_range == "quarantine":
        outside = outside_range(values, rules.price_range_tolerance)
        masks["price_outside_range"] = outside
    if "adj_close" in values and config.adjust_by_adj_close:
        adjusted = values["adj_close"]
        masks["invalid_adj_close"] = ~((adjusted > 0) & (adjusted <= _LARGEST))
    if rules.zero_volume == "quarantine":
        masks["zero_volume"] = volume == 0
    return masks


def outside_range(values: Mapping[str, Array], tolerance: float) -> Mask:
    """Rows whose open or close leaves [low, high], or whose high is below their low."""
    top = np.maximum(values["open"], values["close"])
    bottom = np.minimum(values["open"], values["close"])
    high, low = values["high"], values["low"]
    above = np.maximum(top, low) > high * (1 + tolerance)
    below = np.minimum(bottom, high) < low * (1 - tolerance)
    mask: Mask = above | below
    return mask
