"""Planted look-aheads: what an audit must catch, and honest kin that it must not."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ranking_pipeline.audit.futures import TRUNCATED
from ranking_pipeline.audit.probe import (
    PRICES,
    Array,
    Probe,
    close_of,
    lagged,
    mean_over,
    returns_of,
)
from ranking_pipeline.panel import Panel

_WIDTH = 10
_DECAY = 0.9
_HOLD_BARS = 5


def _lead(values: Array, bars: int) -> Array:
    ahead = np.full_like(values, np.nan)
    kept = max(0, values.shape[-1] - bars)
    ahead[..., :kept] = values[..., bars:]
    return ahead


def _next_close(panel: Panel) -> Array:
    return _lead(close_of(panel), 1) / close_of(panel) - 1.0


def _next_open(panel: Panel) -> Array:
    return _lead(np.asarray(panel.field("open"), dtype=np.float64), 1) / close_of(panel)


def _centred_window(panel: Panel) -> Array:
    close = close_of(panel)
    return close / (lagged(close, 1) + close + _lead(close, 1))


def _full_sample_zscore(panel: Panel) -> Array:
    ret = returns_of(panel)
    centre = np.nanmean(ret, axis=1, keepdims=True)
    score: Array = (ret - centre) / np.nanstd(ret, axis=1, keepdims=True)
    return score


def _full_sample_scaler(panel: Panel) -> Array:
    close = close_of(panel)
    low: Array = np.nanmin(close, axis=1, keepdims=True)
    high: Array = np.nanmax(close, axis=1, keepdims=True)
    return (close - low) / (high - low)


def _whole_sample_maximum(panel: Panel) -> Array:
    close = close_of(panel)
    high: Array = np.nanmax(close, axis=1, keepdims=True)
    return close / high


def _filled(panel: Panel, *, backwards: bool) -> Array:
    close = close_of(panel)[:, :: -1 if backwards else 1]
    bars = np.arange(close.shape[1])
    seen = np.maximum.accumulate(np.where(np.isfinite(close), bars, 0), axis=1)
    filled = np.take_along_axis(close, seen, axis=1)
    return filled[:, :: -1 if backwards else 1]


def _back_fill(panel: Panel) -> Array:
    return _filled(panel, backwards=True)


def _universe_of_the_last_day(panel: Panel) -> Array:
    last = panel.tradable[:, -1:]
    return mean_over(panel, np.broadcast_to(last, panel.tradable.shape))


def _last_bar_of_the_week(panel: Panel) -> Array:
    week = (panel.trading_dates.astype(np.int64) + 3) // 7
    last = np.append(week[1:] != week[:-1], True)
    return np.tile(last.astype(np.float64), (panel.n_symbols, 1))


def _symbol_encoding(panel: Panel) -> Array:
    mean = np.nanmean(returns_of(panel), axis=1, keepdims=True)
    return np.broadcast_to(mean, panel.tradable.shape).copy()


def _unfinished_week(panel: Panel) -> Array:
    """Close of the week, told on each of its days."""
    week = (panel.trading_dates.astype(np.int64) + 3) // 7
    last = np.searchsorted(week, week, side="right") - 1
    return close_of(panel)[:, last]


def _finished_week(panel: Panel) -> Array:
    """Close of the week before."""
    week = (panel.trading_dates.astype(np.int64) + 3) // 7
    before = np.searchsorted(week, week, side="left") - 1
    return np.where(before < 0, np.nan, close_of(panel)[:, before])


def _rank_over_time(panel: Panel) -> Array:
    close = close_of(panel)
    return np.where(np.isnan(close), np.nan, close.argsort(axis=1).argsort(axis=1))


def _future_volatility(panel: Panel) -> Array:
    ret = returns_of(panel)
    ahead = np.stack([_lead(ret, step) for step in range(1, _HOLD_BARS + 1)])
    spread: Array = np.nanstd(ahead, axis=0)
    return spread


def _rolling_mean(panel: Panel) -> Array:
    close = close_of(panel)
    total = np.zeros_like(close)
    for age in range(_WIDTH):
        total = total + lagged(close, age)
    return total / _WIDTH


def _weighted_mean(panel: Panel) -> Array:
    """Exponentially weighted mean of a window: its history starts anew each bar."""
    close = close_of(panel)
    total = np.zeros_like(close)
    for age in range(3 * _WIDTH):
        total = total + _DECAY**age * lagged(close, age)
    return total


def _rank_in_the_bar(panel: Panel) -> Array:
    ret = np.where(panel.tradable, returns_of(panel), np.nan)
    below = (ret[None, :, :] < ret[:, None, :]).sum(axis=1)
    return np.where(np.isfinite(ret), below + 1.0, np.nan)


def _running_maximum(panel: Panel) -> Array:
    return np.fmax.accumulate(close_of(panel), axis=1)


def _universe_of_the_bar(panel: Panel) -> Array:
    return mean_over(panel, panel.tradable)


def _forward_fill(panel: Panel) -> Array:
    return _filled(panel, backwards=False)


def _day_of_the_week(panel: Panel) -> Array:
    day = (panel.trading_dates.astype(np.int64) + 3) % 7
    return np.tile(day.astype(np.float64), (panel.n_symbols, 1))


def _sector_mean(panel: Panel) -> Array:
    return _mean_of(panel, panel.sectors)


def _sector_of_the_last_day(panel: Panel) -> Array:
    last = np.broadcast_to(panel.sectors[:, -1:], panel.sectors.shape)
    return _mean_of(panel, last)


def _mean_of(panel: Panel, sectors: npt.NDArray[np.int16]) -> Array:
    """Mean return of each symbol's sector within the bar."""
    ret, result = returns_of(panel), np.full(panel.tradable.shape, np.nan)
    for code in np.unique(sectors):
        members = sectors == code
        used = members & np.isfinite(ret)
        mean = np.where(used, ret, 0.0).sum(axis=0) / used.sum(axis=0)
        result = np.where(members, mean, result)
    return result


PLANTED: tuple[Probe, ...] = (
    Probe("next close", _next_close, (TRUNCATED, *PRICES)),
    Probe("next open", _next_open, (TRUNCATED, *PRICES)),
    Probe("centred window", _centred_window, (TRUNCATED, *PRICES)),
    Probe(
        "z-score over the whole sample",
        _full_sample_zscore,
        (TRUNCATED, *PRICES, "half_missing"),
    ),
    Probe("min-max scaler over the whole sample", _full_sample_scaler, ("scaled",)),
    Probe("maximum of the whole sample", _whole_sample_maximum, ("scaled",)),
    Probe("missing bars filled backwards", _back_fill, (TRUNCATED, *PRICES), "gap"),
    Probe(
        "universe of the last day",
        _universe_of_the_last_day,
        ("missing", "half_missing", "universe"),
    ),
    Probe("sector of the last day", _sector_of_the_last_day, (TRUNCATED, "sectors")),
    Probe(
        "last bar of the week, from the next bar's time",
        _last_bar_of_the_week,
        (TRUNCATED, "calendar"),
    ),
    Probe(
        "symbol encoded by its mean return over all rows",
        _symbol_encoding,
        (TRUNCATED, *PRICES, "half_missing"),
    ),
    Probe(
        "bar of the week before the week is over",
        _unfinished_week,
        (TRUNCATED, *PRICES),
    ),
    Probe("rank over the whole time", _rank_over_time, ("random_walk", "constant")),
    Probe("volatility of the bars to come", _future_volatility, (TRUNCATED, *PRICES)),
)
HONEST: tuple[Probe, ...] = (
    Probe("rolling mean", _rolling_mean),
    Probe("exponentially weighted mean of a window", _weighted_mean),
    Probe("rank within the bar", _rank_in_the_bar),
    Probe("maximum so far", _running_maximum),
    Probe("deviation from the universe of the bar", _universe_of_the_bar),
    Probe("missing bars filled forwards", _forward_fill),
    Probe("day of the week", _day_of_the_week),
    Probe("mean of the sector of the bar", _sector_mean),
    Probe("bar of the week before", _finished_week),
)
