"""Small panels and the parameters of the labels."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ranking_pipeline.labels import LabelsConfig
from ranking_pipeline.panel import OHLCV, Panel

sys.path.insert(0, str(Path(__file__).parent))  # for plain_labels

EVERY_KIND = [
    "fwd_ret_1d",
    "fwd_ret_5d",
    "y_will_peak_5d_0.8",
    "y_will_valley_5d_0.5",
    "y_first_touch_10d_0.3",
    "y_will_peak_mfe_5d_0.03",
    "y_will_valley_mdd_10d_0.05",
    "y_will_swing_high_12d_0.8",
    "y_will_swing_low_7d_0.6",
    "fwd_mfe_5d",
    "fwd_mdd_3b",
    "label_h5",
    "label_h20",
]


def build_config(**changes: Any) -> LabelsConfig:
    return LabelsConfig(
        **{
            "targets": EVERY_KIND,
            "entry_lag_bars": 1,
            "cross_sessions": True,
            "delistings": None,
            "path_volatility_bars": 20,
            "barrier_volatility_span_bars": 100,
            "barrier_volatility_min_bars": 20,
            "barrier_multiple": 0.8,
            **changes,
        }
    )


def build_panel(seed: int, n_symbols: int, n_bars: int, *, holes: bool = True) -> Panel:
    rng = np.random.default_rng(seed)
    shape = (n_symbols, n_bars)
    close = 40 * np.exp(np.cumsum(rng.normal(0, 0.02, shape), axis=1))
    opening = close * np.exp(rng.normal(0, 0.01, shape))
    high = np.maximum(opening, close) * (1 + rng.uniform(0, 0.02, shape))
    low = np.minimum(opening, close) * (1 - rng.uniform(0, 0.02, shape))
    volume = np.exp(rng.normal(12, 0.5, shape))
    values = np.stack([opening, high, low, close, volume], axis=-1).astype(np.float32)
    if holes:
        values[0, n_bars // 2 : n_bars // 2 + 3] = np.nan
        values[1, : n_bars // 4] = np.nan
        values[2, -n_bars // 5 :] = np.nan
        values[3][rng.random(n_bars) < 0.08] = np.nan
    return Panel(
        symbols=tuple(f"S{i:03d}" for i in range(n_symbols)),
        timestamps=np.datetime64("2020-01-01", "ns")
        + np.arange(n_bars) * np.timedelta64(1, "D"),
        fields=OHLCV,
        values=values,
        tradable=~np.isnan(values[:, :, 3]),
    )


@pytest.fixture(scope="session")
def panel_builder() -> Callable[..., Panel]:
    return build_panel


@pytest.fixture(scope="session")
def label_config() -> Callable[..., LabelsConfig]:
    return build_config


@pytest.fixture(scope="session")
def every_kind() -> list[str]:
    return list(EVERY_KIND)


@pytest.fixture(scope="session")
def holed_panel() -> Panel:
    return build_panel(7, 5, 140)
