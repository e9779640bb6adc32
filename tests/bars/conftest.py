"""Fixtures of the bars: base parameters and a small good table of raw bars."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ranking_pipeline.bars.config import ChecksConfig, MarketConfig

CHECKS: dict[str, Any] = {
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
    "range_rule": "quarantine",
    "range_tolerance": 1e-6,
    "conflict_rule": "quarantine",
    "weekend_rule": "quarantine",
    "stale_run_bars": 5,
    "outlier_sigmas": 20.0,
    "survivorship_warning_share": 0.9,
    "max_quarantined_share": 0.5,
    "max_quarantined_share_of_symbol": 0.5,
}
MARKET: dict[str, Any] = {
    "n_symbols": 96,
    "n_sectors": 11,
    "n_bars": 1250,
    "interval": "1d",
    "bars_per_session": 78,
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
    """Parameters of the checks, with changes."""
    return lambda **changes: ChecksConfig(**(CHECKS | changes))


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
            close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, days)))
            open_ = close * (1 + rng.normal(0, 0.002, days))
            parts.append(
                pd.DataFrame(
                    {
                        "symbol": symbol,
                        "timestamp": pd.bdate_range("2024-01-08", periods=days),
                        "open": open_,
                        "high": np.maximum(open_, close) * 1.01,
                        "low": np.minimum(open_, close) * 0.99,
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


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real bars beside the project; skip where it is absent."""
    folder = Path(__file__).resolve().parents[2] / "../shared/data"
    if not folder.is_dir():
        pytest.skip("no real bars beside the project")
    return folder
