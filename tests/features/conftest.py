"""Small panels with every kind of hole."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from ranking_pipeline.panel import NO_SECTOR, OHLCV, Panel

BARS_OF_DAY = 13


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


def in_sectors(panel: Panel, labels: Sequence[str]) -> Panel:
    """Give each symbol a sector for all bars; unknown where the label is empty."""
    names = tuple(sorted({label for label in labels if label}))
    codes = [names.index(label) if label else NO_SECTOR for label in labels]
    sectors = np.repeat(np.array(codes, np.int16)[:, None], panel.n_bars, axis=1)
    return dataclasses.replace(panel, sectors=sectors, sector_names=names)


def with_sessions(panel: Panel) -> Panel:
    """Half-hour bars of sessions of 13; every third session ends early."""
    day, bar = np.divmod(np.arange(panel.n_bars * 2), BARS_OF_DAY)
    kept = ~((day % 3 == 1) & (bar > BARS_OF_DAY // 2))
    day, bar = day[kept][: panel.n_bars], bar[kept][: panel.n_bars]
    minutes = (30 * (bar + 1)).astype(np.int32)
    dates = np.datetime64("2024-01-01", "D") + day
    opening = dates.astype("M8[ns]") + np.timedelta64(14 * 60 + 30, "m")
    return dataclasses.replace(
        panel,
        timestamps=opening + minutes * np.timedelta64(1, "m"),
        trading_dates=dates,
        session_minutes=minutes,
    )


@pytest.fixture(scope="session")
def intraday_panel() -> Panel:
    """Eight symbols in three sectors and none, 420 half-hour bars."""
    labels = ["a", "a", "b", "b", "a", "b", "c", ""]
    return with_sessions(in_sectors(build_panel(5, 8, 420), labels))


@pytest.fixture(scope="session")
def sectors_giver() -> Callable[[Panel, Sequence[str]], Panel]:
    return in_sectors


@pytest.fixture(scope="session")
def panel_builder() -> Callable[..., Panel]:
    return build_panel


@pytest.fixture(scope="session")
def sectors() -> list[str]:
    return ["energy", "energy", "it", "it", "it", ""]


@pytest.fixture(scope="session")
def holed_panel(sectors: list[str]) -> Panel:
    return in_sectors(build_panel(3, 6, 160), sectors)
