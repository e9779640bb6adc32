"""Small markets and parameters, as plain functions."""

from __future__ import annotations

from typing import Any

import numpy as np

from ranking_pipeline.audit import AuditConfig
from ranking_pipeline.audit.futures import MODES
from ranking_pipeline.audit.learned import World
from ranking_pipeline.labels import LabelsConfig, parse_target
from ranking_pipeline.panel import OHLCV, Panel
from ranking_pipeline.splits import make_splits

TARGETS = ("fwd_ret_1d", "fwd_ret_5d", "y_will_peak_5d_0.8", "label_h5")
FAMILIES: dict[str, dict[str, Any]] = {
    "ridge": {"expected_r2": 0.05, "clip_sigma": 3.0},
    "lightgbm": {
        "n_rounds": 15,
        "learning_rate": 0.1,
        "max_leaves": 8,
        "max_depth": None,
        "l1": 0.0,
        "objective": "l2",
        "quantile": 0.5,
        "min_rows_per_leaf": 20,
        "row_share": 0.7,
        "feature_share": 0.7,
        "l2": 1.0,
        "max_bins": 31,
        "patience_rounds": 10,
    },
}
FACTORS = ("ret_1", "ret_5", "vol_20", "rank_ret_5", "sector_ret_5", "gap_1")


def labels_config(**changes: Any) -> LabelsConfig:
    return LabelsConfig(
        **{
            "targets": list(TARGETS),
            "entry_lag_bars": 1,
            "cross_sessions": True,
            "delistings": None,
            "path_volatility_bars": 20,
            "barrier_volatility_span_bars": 30,
            "barrier_volatility_min_bars": 20,
            "barrier_multiple": 0.8,
            **changes,
        }
    )


def audit_config(**changes: Any) -> AuditConfig:
    return AuditConfig(
        **{
            "symbols": 8,
            "bars": 160,
            "every_bar": False,
            "event_cuts": 6,
            "random_cuts": 2,
            "modes": list(MODES),
            "modes_at_a_cut": 2,
            "label_cuts": 2,
            "warm_up_cuts": 1,
            "score_cuts": 1,
            "month_cuts": 0,
            "month_bars": 150,
            "garch_symbols": 0,
            "garch_cuts": 1,
            "optimisers": [],
            "optimiser_cuts": 1,
            "families": {},
            "network": False,
            "planted": False,
            "seed": 0,
            **changes,
        }
    )


def walk(random: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Bars (S, T, 5) of a random walk."""
    close = 40 * np.exp(np.cumsum(random.normal(0, 0.02, shape), axis=1))
    return bars_of(random, close)


def bars_of(random: np.random.Generator, close: np.ndarray) -> np.ndarray:
    opened = close * np.exp(random.normal(0, 0.01, close.shape))
    high = np.maximum(opened, close) * (1 + random.uniform(0, 0.01, close.shape))
    low = np.minimum(opened, close) * (1 - random.uniform(0, 0.01, close.shape))
    volume = np.exp(random.normal(12, 0.5, close.shape))
    return np.stack([opened, high, low, close, volume], axis=-1).astype(np.float32)


def panel_of(values: np.ndarray, **changes: Any) -> Panel:
    """Business days, three sectors of which one symbol changes its own."""
    n_symbols, n_bars = values.shape[:2]
    days = np.busday_offset(np.datetime64("2018-01-01"), np.arange(n_bars), "forward")
    sectors = np.tile((np.arange(n_symbols) % 3)[:, None], n_bars).astype(np.int16)
    sectors[0, n_bars // 2 :] = 1
    fields: dict[str, Any] = {
        "symbols": tuple(f"S{number:03d}" for number in range(n_symbols)),
        "timestamps": days.astype("M8[ns]") + np.timedelta64(21, "h"),
        "fields": OHLCV,
        "values": values,
        "tradable": ~np.isnan(values[:, :, 3]) & ~(values[:, :, 4] == 0),
        "trading_dates": days,
        "sectors": sectors,
        "sector_names": ("a", "b", "c"),
    }
    return Panel(**{**fields, **changes})


def daily_market(seed: int, n_symbols: int, n_bars: int) -> Panel:
    """A random walk with gaps, a late listing, an end, a split and idle bars."""
    random = np.random.default_rng(seed)
    values = walk(random, (n_symbols, n_bars))
    values[0, n_bars // 2 : n_bars // 2 + 3] = np.nan
    values[1, : n_bars // 4] = np.nan
    values[2, -n_bars // 6 :] = np.nan
    values[3, n_bars // 2 :, :4] *= np.float32(0.5)
    values[4][random.random(n_bars) < 0.05] = np.nan
    values[5, n_bars // 3 : n_bars // 3 + 2, 4] = 0.0
    return panel_of(values)


def intraday_market(seed: int, n_symbols: int, n_days: int, per_day: int) -> Panel:
    """Half-hour bars of ``n_days`` sessions, one of them short, with gaps."""
    random = np.random.default_rng(seed)
    days = np.busday_offset(np.datetime64("2022-03-07"), np.arange(n_days), "forward")
    step = np.arange(1, per_day + 1)
    stamps = days.astype("M8[ns]")[:, None] + np.timedelta64(14 * 60 + 30, "m")
    stamps = (stamps + step * np.timedelta64(30, "m")).reshape(-1)
    minutes = np.tile(step * 30, n_days).astype(np.int32)
    dates = np.repeat(days, per_day)
    short = n_days // 2 * per_day + per_day // 2
    kept = np.ones(len(stamps), dtype=bool)
    kept[short : short + per_day - per_day // 2] = False
    stamps, minutes, dates = stamps[kept], minutes[kept], dates[kept]
    values = walk(random, (n_symbols, len(stamps)))
    values[0, per_day + 3 : per_day + 6] = np.nan
    values[1, : 2 * per_day + 1] = np.nan
    values[2, -per_day:] = np.nan
    return panel_of(
        values, timestamps=stamps, trading_dates=dates, session_minutes=minutes
    )


def world(panel: Panel, **changes: Any) -> World:
    """A small learning problem on a panel."""
    fields: dict[str, Any] = {
        "panel": panel,
        "splits": make_splits(panel.timestamps, 0.6, 0.2, 0),
        "factors": FACTORS,
        "spec": parse_target("fwd_ret_5d", "1d"),
        "labels": labels_config(),
        "families": FAMILIES,
        "network": False,
        "seed": 0,
    }
    return World(**{**fields, **changes})
