"""Slow, plain labels: one row at a time, written from the definitions alone."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from ranking_pipeline.labels import LabelsConfig, TargetSpec
from ranking_pipeline.panel import OHLCV, Panel

NEIGHBOURS = 3


def plain_labels(
    panel: Panel, spec: TargetSpec, config: LabelsConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Labels and their ends in panel layout; NaN and -1 where there is none."""
    values = np.full(panel.tradable.shape, np.nan)
    ends = np.full(panel.tradable.shape, -1)
    window = config.entry_lag_bars + spec.horizon_bars
    for symbol in range(panel.n_symbols):
        bars = pd.DataFrame(panel.values[symbol].astype(float), columns=list(OHLCV))
        sigma = _volatility(bars.close, spec, config)
        for bar in range(panel.n_bars - window):
            crosses = panel.trading_dates[bar] != panel.trading_dates[bar + window]
            if crosses and not config.cross_sessions:
                continue
            future = bars.iloc[bar + config.entry_lag_bars : bar + window + 1]
            label = _label(future.to_numpy(), sigma[bar], spec, config)
            if not math.isnan(label):
                values[symbol, bar], ends[symbol, bar] = label, bar + window
    return values, ends


def _volatility(close: pd.Series, spec: TargetSpec, config: Any) -> list[float]:
    if spec.kind not in ("path", "swing", "triple_barrier"):
        return [math.nan] * len(close)
    returns = close / close.shift(1) - 1
    return [_volatility_at(returns, bar, spec, config) for bar in range(len(close))]


def _volatility_at(
    returns: pd.Series, bar: int, spec: TargetSpec, config: Any
) -> float:
    if spec.kind in ("path", "swing"):
        width = config.path_volatility_bars
        window = returns.iloc[max(0, bar - width + 1) : bar + 1].dropna()
        needed = width if width <= 10 else math.ceil(2 * width / 3)
        return window.std() if len(window) >= needed else math.nan
    span = config.barrier_volatility_span_bars
    window = returns.iloc[max(0, bar - span + 1) : bar + 1]
    if window.notna().sum() < config.barrier_volatility_min_bars:
        return math.nan
    last = window.last_valid_index()  # pandas decays over gaps, weights are relative
    return float(window.ewm(span=span).std().loc[last])


def _label(future: np.ndarray, sigma: float, spec: TargetSpec, config: Any) -> float:
    """Label from the entry bar and the bars of the window, columns as in OHLCV."""
    entry, last, rows = future[0, 3], future[-1, 3], future[1:]
    if math.isnan(entry) or math.isnan(last):
        return math.nan
    if spec.kind in ("forward_return", "excursion", "threshold"):
        return _of_prices(entry, rows, spec)
    multiple = config.barrier_multiple if spec.event == "" else spec.multiple
    width = multiple * sigma * math.sqrt(spec.horizon_bars)
    if math.isnan(width) or width <= 0:
        return math.nan
    if spec.kind == "swing":
        return float(_swings(rows, width, spec.event == "swing_high"))
    upper, lower = entry * (1 + width), entry * (1 - width)
    upper = math.inf if spec.event == "will_valley" else upper
    lower = -math.inf if spec.event == "will_peak" else lower
    side = _walk(rows, upper, lower)
    return float(abs(side) if spec.task == "binary" else side)


def _of_prices(entry: float, rows: np.ndarray, spec: TargetSpec) -> float:
    highs = [row[1] for row in rows if not math.isnan(row[1])]
    lows = [row[2] for row in rows if not math.isnan(row[2])]
    if spec.name.startswith("y_will_peak_mfe"):
        return float(any(high >= entry * (1 + spec.threshold) for high in highs))
    if spec.name.startswith("y_will_valley_mdd"):
        return float(any(low <= entry * (1 - spec.threshold) for low in lows))
    if spec.name.startswith("fwd_mfe"):
        return max(highs) / entry - 1
    if spec.name.startswith("fwd_mdd"):
        return min(lows) / entry - 1
    return rows[-1][3] / entry - 1


def _walk(rows: np.ndarray, upper: float, lower: float) -> int:
    for opened, high, low, *_ in rows:
        up, down = high >= upper, low <= lower
        if up and down:
            near, far = abs(upper - opened), abs(opened - lower)
            return 0 if math.isclose(near, far) else 1 if near < far else -1
        if up or down:
            return 1 if up else -1
    return 0


def _swings(rows: np.ndarray, width: float, up: bool) -> bool:
    peaks = rows[:, 1] if up else rows[:, 2]
    for i in range(NEIGHBOURS, len(rows) - NEIGHBOURS):
        level = peaks[i]
        before, after = peaks[i - NEIGHBOURS : i], peaks[i + 1 : i + 1 + NEIGHBOURS]
        if up:
            local = not any(before >= level) and not any(after > level)
            turned = any(rows[i + 1 :, 2] <= level * (1 - width))
        else:
            local = not any(before <= level) and not any(after < level)
            turned = any(rows[i + 1 :, 1] >= level * (1 + width))
        if not math.isnan(level) and local and turned:
            return True
    return False
