"""Fixtures of the bars: base parameters and a small good table of raw bars."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from ranking_pipeline.bars.config import ChecksConfig, MarketConfig

Array = npt.NDArray[np.float64]

DEFECTS: dict[str, Any] = {
    "unknown_columns": "keep_aside",
    "unreadable_files": "skip",
    "empty_files": "skip",
    "text_numbers": "cast",
    "precision_loss": "flag",
    "unsorted_rows": "sort",
    "missing_prices": "quarantine",
    "gaps": "keep",
    "max_fill_bars": 3,
    "zero_volume": "keep",
    "price_range": "quarantine",
    "price_range_tolerance": 1e-6,
    "conflicts": "quarantine",
    "future_bars": "quarantine",
    "weekends": "quarantine",
    "stale_runs": "not_tradable",
    "stale_run_bars": 5,
    "outliers": "flag",
    "outlier_sigmas": 20.0,
    "split_table": None,
    "max_split_share": 1.0,
    "survivorship": "warn",
    "survivorship_share": 0.9,
}
CHECKS: dict[str, Any] = {
    "layout": "auto",
    "interval": "1d",
    "bar_stamp": "start",
    "timezone": "America/New_York",
    "timestamp_format": None,
    "encoding": "utf-8",
    "column_map": {},
    "symbols": [],
    "first_date": None,
    "last_date": None,
    "adjust_by_adj_close": True,
    "calendar": None,
    "session": "regular",
    "defects": DEFECTS,
    "max_quarantined_share": 0.5,
    "max_quarantined_share_of_symbol": 0.5,
}
MARKET: dict[str, Any] = {
    "n_symbols": 96,
    "n_sectors": 11,
    "n_bars": 1250,
    "interval": "1d",
    "bars_per_session": 78,
    "calendar": None,
    "start_date": "2019-01-02",
    "strength": 0.14,
    "reversed_symbols": 8,
    "reversed_loading": -2.0,
    "signal_weights": {"gap": -0.8, "momentum": 0.4, "volume": 0.5, "sequence": 2.0},
    "late_listings": 6,
    "delistings": 10,
    "missing_share": 0.002,
    "planted_defects": True,
}


@pytest.fixture
def checks() -> Callable[..., ChecksConfig]:
    """Parameters of the checks, with changes; rules of defects by their own names."""

    def make(**changes: Any) -> ChecksConfig:
        rules = {name: changes.pop(name) for name in [*changes] if name in DEFECTS}
        return ChecksConfig(**(CHECKS | {"defects": DEFECTS | rules} | changes))

    return make


@pytest.fixture(scope="session")
def market() -> Callable[..., MarketConfig]:
    """Parameters of the market, with changes."""
    return lambda **changes: MarketConfig(**(MARKET | changes))


@pytest.fixture
def good() -> Callable[..., pd.DataFrame]:
    """Raw daily bars of AAA and BBB without any fault, from Monday 2024-01-08."""

    def make(days: int = 20, symbols: tuple[str, ...] = ("AAA", "BBB")) -> pd.DataFrame:
        rng = np.random.default_rng(0)
        parts = []
        for symbol in symbols:
            close = _single(100 * np.exp(np.cumsum(rng.normal(0, 0.01, days))))
            open_ = _single(close * (1 + rng.normal(0, 0.002, days)))
            parts.append(
                pd.DataFrame(
                    {
                        "symbol": symbol,
                        "timestamp": pd.bdate_range("2024-01-08", periods=days),
                        "open": open_,
                        "high": _single(np.maximum(open_, close) * 1.01),
                        "low": _single(np.minimum(open_, close) * 0.99),
                        "close": close,
                        "volume": rng.integers(1000, 2000, days).astype(float),
                    }
                )
            )
        frame = pd.concat(parts, ignore_index=True)
        frame["source_file"] = "fixture"
        frame["source_row"] = np.arange(len(frame))
        return frame

    return make


def _single(prices: Array) -> Array:
    """Prices that the 32 bits of the panel can hold."""
    return prices.astype(np.float32).astype(np.float64)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real bars beside the project; skip where it is absent."""
    folder = Path(__file__).resolve().parents[2] / "../shared/data"
    if not folder.is_dir():
        pytest.skip("no real bars beside the project")
    return folder
