"""A slow, plain ingest of daily bars, row by row: what the fast one must equal."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

PRICES = ("open", "high", "low", "close")
MISSING = {"", "na", "n/a", "nan", "null", "none"}
Bar = tuple[float, float, float, float, float]


@dataclass
class Plain:
    """Source row -> rule for rows set aside; (symbol, end) -> bar and tradable."""

    rules: dict[int, str] = field(default_factory=dict)
    bars: dict[tuple[str, pd.Timestamp], Bar] = field(default_factory=dict)
    tradable: dict[tuple[str, pd.Timestamp], bool] = field(default_factory=dict)


def number(cell: Any) -> tuple[float, bool]:
    """The number in a cell, and whether the cell holds something that is none."""
    if isinstance(cell, (bool, np.bool_)):
        return math.nan, True
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return math.nan, False
    if isinstance(cell, str):
        text = cell.strip()
        try:
            return float(text), False
        except ValueError:
            return math.nan, text.lower() not in MISSING
    return float(cell), False


def plain_ingest(raw: pd.DataFrame, *, tolerance: float, stale_run: int) -> Plain:
    """Daily bars stamped with their start in New York, default rules."""
    out = Plain()
    sharing: dict[tuple[str, pd.Timestamp], list[int]] = defaultdict(list)
    read: dict[int, dict[str, float]] = {}
    for row, cells in enumerate(raw.to_dict("records")):
        symbol, stamp = cells["symbol"], cells["timestamp"]
        if pd.isna(symbol) or not str(symbol).strip():
            out.rules[row] = "missing_symbol"
            continue
        date = pd.to_datetime(stamp, errors="coerce", format="ISO8601")
        if pd.isna(date):
            out.rules[row] = "unreadable_timestamp"
            continue
        if date.weekday() > 4:
            out.rules[row] = "weekend_bar"
            continue
        names = [*PRICES, "volume", *(["adj_close"] if "adj_close" in raw else [])]
        pairs = {name: number(cells[name]) for name in names}
        values = {name: pair[0] for name, pair in pairs.items()}
        rule = broken(values, any(pair[1] for pair in pairs.values()), tolerance)
        if rule:
            out.rules[row] = rule
            continue
        next_day = date.normalize() + pd.Timedelta(days=1)
        end = next_day.tz_localize("America/New_York").tz_convert("UTC")
        sharing[str(symbol), end].append(row)
        read[row] = values
    for key, rows in sharing.items():
        same = all(equal(read[rows[0]], read[row]) for row in rows)
        for row in rows[1 if same else 0 :]:
            if len(rows) > 1:
                out.rules[row] = "exact_duplicate" if same else "conflicting_duplicate"
        if same:
            out.bars[key] = bar_of(read[rows[0]])
    mark_tradable(out, stale_run)
    return out


def broken(values: dict[str, float], unreadable: bool, tolerance: float) -> str | None:
    """The first rule that the numbers of one row break."""
    open_, high, low, close = (values[name] for name in PRICES)
    prices = (open_, high, low, close)
    adjusted = values.get("adj_close", 1.0)
    above = max(open_, close, low) > high * (1 + tolerance)
    below = min(open_, close, high) < low * (1 - tolerance)
    in_order = {
        "unreadable_number": unreadable,
        "missing_price": not all(math.isfinite(price) for price in prices),
        "non_positive_price": any(price <= 0 for price in prices),
        "invalid_volume": values["volume"] < 0 or math.isinf(values["volume"]),
        "price_outside_range": above or below,
        "invalid_adj_close": not math.isfinite(adjusted) or adjusted <= 0,
    }
    return next((rule for rule, is_so in in_order.items() if is_so), None)


def equal(one: dict[str, float], two: dict[str, float]) -> bool:
    return all(
        one[name] == two[name] or (math.isnan(one[name]) and math.isnan(two[name]))
        for name in one
    )


def bar_of(values: dict[str, float]) -> Bar:
    open_, close = values["open"], values["close"]
    high = max(values[name] for name in PRICES)
    low = min(values[name] for name in PRICES)
    factor = values.get("adj_close", close) / close
    if "adj_close" not in values:
        factor = 1.0
    scaled = [price * factor for price in (open_, high, low, close)]
    scaled.append(values["volume"] / factor)
    single = [float(np.float32(value)) for value in scaled]
    return single[0], single[1], single[2], single[3], single[4]


def mark_tradable(out: Plain, stale_run: int) -> None:
    """A bar without volume, or at least ``stale_run`` equal ones after, is out."""
    for symbol in {key[0] for key in out.bars}:
        before: Bar | None = None
        repeats = 0
        for key in sorted(key for key in out.bars if key[0] == symbol):
            bar = out.bars[key]
            repeats = repeats + 1 if before and before[:4] == bar[:4] else 0
            out.tradable[key] = bar[4] > 0 and repeats < stale_run
            before = bar
