"""Raw rows in source order, with their symbols, times and numbers read."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.bars.config import ChecksConfig
from ranking_pipeline.bars.rules import Numbers, read_numbers
from ranking_pipeline.bars.timestamps import BarTimes, bar_times
from ranking_pipeline.errors import UserError

Mask = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Rows:
    """Raw rows in their source order with what was read from them."""

    raw: pd.DataFrame
    names: tuple[str, ...]
    codes: Codes
    times: BarTimes
    numbers: Numbers

    def take(self, keep: Mask) -> Rows:
        """Return only the rows where ``keep``, in the same order."""
        times, numbers = self.times, self.numbers
        return replace(
            self,
            raw=self.raw[keep].reset_index(drop=True),
            codes=self.codes[keep],
            times=replace(
                times, end=times.end[keep], trading_date=times.trading_date[keep]
            ),
            numbers=Numbers(
                {name: values[keep] for name, values in numbers.values.items()},
                numbers.unreadable[keep],
                numbers.from_text[keep],
            ),
        )


def read_rows(raw: pd.DataFrame, config: ChecksConfig, source: str) -> Rows:
    """Read symbols, times and numbers of raw bars; codes follow the sorted names."""
    # Recoding through the sorted names makes the order of codes that of the symbols.
    symbols = raw["symbol"].astype("category")
    texts = np.array([str(name) for name in symbols.cat.categories], dtype=object)
    used, inverse = np.unique(texts, return_inverse=True)
    stored = symbols.cat.codes.to_numpy()
    codes = np.where(stored < 0, -1, np.append(inverse, -1)[stored]).astype(np.int64)
    empty = np.append([not name.strip() for name in used], True)
    codes[empty[codes]] = -1
    times = bar_times(raw["timestamp"], config, source)
    return Rows(raw, tuple(str(name) for name in used), codes, times, read_numbers(raw))


def select_rows(rows: Rows, config: ChecksConfig) -> Mask:
    """Find the rows of the requested symbols and dates.

    A row whose symbol or time cannot be read stays, to be judged.

    Raises
    ------
    UserError
        A requested symbol has no rows, or no row is left.
    """
    keep = np.ones(len(rows.codes), dtype=bool)
    if config.symbols:
        absent = sorted(set(config.symbols) - set(rows.names))
        if absent:
            raise UserError(
                f"data.symbols: no bars for {', '.join(absent[:10])}. The source has "
                f"{len(rows.names)} symbols, as {', '.join(rows.names[:5])}. Symbols "
                "are compared letter by letter."
            )
        wanted = np.append([name in set(config.symbols) for name in rows.names], True)
        keep &= wanted[rows.codes]
    dates = rows.times.trading_date
    if config.first_date is not None:
        keep &= ~(dates < np.datetime64(config.first_date))
    if config.last_date is not None:
        keep &= ~(dates > np.datetime64(config.last_date))
    if not keep.any():
        raise UserError(
            "No rows are left: data.symbols, data.first_date and data.last_date select "
            "nothing. Widen them."
        )
    return keep
