"""Small panels with every kind of hole."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from ranking_pipeline.panel import OHLCV, Panel


def build_panel(seed: int, n_symbols: int, n_bars: int, *, holes: bool = True) -> Panel:
    """A random walk; with holes: gaps, late and short listings, bars without volume."""
    rng = np.random.default_rng(seed)
    shape = (n_symbols, n_bars)
    close = 40 * np.exp(np.cumsum(rng.normal(0, 0.02, shape), axis=1))
    opening = close * np.exp(rng.normal(0, 0.01, shape))
    high = np.maximum(opening, close) * (1 + rng.uniform(0, 0.01, shape))
    low = np.minimum(opening, close) * (1 - rng.uniform(0, 0.01, shape))
    volume = np.exp(rng.normal(12, 0.5, shape))
    values = np.stack([opening, high, low, close, volume], axis=-1).astype(np.float32)
    if holes:
        values[0, n_bars // 2 : n_bars // 2 + 3] = np.nan
        values[1, : n_bars // 4] = np.nan
        values[2, -n_bars // 5 :] = np.nan
        values[3][rng.random(n_bars) < 0.08] = np.nan
        values[4, n_bars // 3 : n_bars // 3 + 2, 4] = 0.0
    present = ~np.isnan(values[:, :, 3])
    return Panel(
        symbols=tuple(f"S{i:03d}" for i in range(n_symbols)),
        timestamps=np.datetime64("2020-01-01", "ns")
        + np.arange(n_bars) * np.timedelta64(1, "D"),
        fields=OHLCV,
        values=values,
        tradable=present & ~(values[:, :, 4] == 0),
    )


@pytest.fixture(scope="session")
def panel_builder() -> Callable[..., Panel]:
    return build_panel


@pytest.fixture(scope="session")
def holed_panel() -> Panel:
    return build_panel(3, 6, 160)


@pytest.fixture(scope="session")
def sectors() -> np.ndarray:
    return np.array(["energy", "energy", "it", "it", "it", "unknown"])
