"""Planted look-aheads: what an audit must catch, and honest kin that it must not."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ranking_pipeline.audit.futures import TRUNCATED
from ranking_pipeline.panel import Panel

Array = npt.NDArray[np.float64]

_PRICES = ("random_walk", "missing", "scaled", "constant", "shuffled")
_WIDTH = 10
_DECAY = 0.9
_HOLD_BARS = 5


@dataclass(frozen=True)
class Probe:
    """A small function of a panel of which it is known whether it looks ahead.

    Attributes
    ----------
    name : str
    compute : callable
        Panel to values (S, T).
    caught_by : tuple of str
        Ways of altering the future that must catch it; none for an honest one.
    at : str
        Reason of the cuts at which it shows; empty where any cut will do.
    """

    name: str
    compute: Callable[[Panel], Array]
    caught_by: tuple[str, ...] = ()
    at: str = ""


def stacked(probes: Sequence[Probe]) -> Callable[[Panel], Array]:
    """Make one function of a panel, (S, T, K), out of K probes."""

    def compute(panel: Panel) -> Array:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of empty slices
            return np.stack([probe.compute(panel) for probe in probes], axis=-1)

    return compute


def _close(panel: Panel) -> Array:
    return np.asarray(panel.field("close"), dtype=np.float64)


def _lag(values: Array, bars: int) -> Array:
    behind = np.full_like(values, np.nan)
    kept = max(0, values.shape[-1] - bars)
    behind[..., bars:] = values[..., :kept]
    return behind


def _ret(panel: Panel) -> Array:
    close = _close(panel)
    return close / _lag(close, 1) - 1.0


def _lead(values: Array, bars: int) -> Array:
    ahead = np.full_like(values, np.nan)
    kept = max(0, values.shape[-1] - bars)
    ahead[..., :kept] = values[..., bars:]
    return ahead


def _next_close(panel: Panel) -> Array:
    return _lead(_close(panel), 1) / _close(panel) - 1.0


def _next_open(panel: Panel) -> Array:
    return _lead(np.asarray(panel.field("open"), dtype=np.float64), 1) / _close(panel)


def _centred_window(panel: Panel) -> Array:
    close = _close(panel)
    return close / (_lag(close, 1) + close + _lead(close, 1))


def _full_sample_zscore(panel: Panel) -> Array:
    ret = _ret(panel)
    centre = np.nanmean(ret, axis=1, keepdims=True)
    score: Array = (ret - centre) / np.nanstd(ret, axis=1, keepdims=True)
    return score


def _full_sample_scaler(panel: Panel) -> Array:
    close = _close(panel)
    low: Array = np.nanmin(close, axis=1, keepdims=True)
    high: Array = np.nanmax(close, axis=1, keepdims=True)
    return (close - low) / (high - low)


def _whole_sample_maximum(panel: Panel) -> Array:
    close = _close(panel)
    high: Array = np.nanmax(close, axis=1, keepdims=True)
    return close / high


def _filled(panel: Panel, *, backwards: bool) -> Array:
    close = _close(panel)[:, :: -1 if backwards else 1]
    bars = np.arange(close.shape[1])
    seen = np.maximum.accumulate(np.where(np.isfinite(close), bars, 0), axis=1)
    filled = np.take_along_axis(close, seen, axis=1)
    return filled[:, :: -1 if backwards else 1]


def _back_fill(panel: Panel) -> Array:
    return _filled(panel, backwards=True)


def _universe_of_the_last_day(panel: Panel) -> Array:
    last = panel.tradable[:, -1:]
    return _mean_over(panel, np.broadcast_to(last, panel.tradable.shape))


def _mean_over(panel: Panel, members: npt.NDArray[np.bool_]) -> Array:
    """Deviation of each symbol's return from the mean of the members of its bar."""
    ret = _ret(panel)
    used = members & np.isfinite(ret)
    total = np.where(used, ret, 0.0).sum(axis=0)
    mean: Array = total / used.sum(axis=0)
    return ret - mean


def _last_bar_of_the_week(panel: Panel) -> Array:
    week = (panel.trading_dates.astype(np.int64) + 3) // 7
    last = np.append(week[1:] != week[:-1], True)
    return np.tile(last.astype(np.float64), (panel.n_symbols, 1))


def _symbol_encoding(panel: Panel) -> Array:
    mean = np.nanmean(_ret(panel), axis=1, keepdims=True)
    return np.broadcast_to(mean, panel.tradable.shape).copy()


def _unfinished_week(panel: Panel) -> Array:
    """Close of the week, told on each of its days."""
    week = (panel.trading_dates.astype(np.int64) + 3) // 7
    last = np.searchsorted(week, week, side="right") - 1
    return _close(panel)[:, last]


def _finished_week(panel: Panel) -> Array:
    """Close of the week before."""
    week = (panel.trading_dates.astype(np.int64) + 3) // 7
    before = np.searchsorted(week, week, side="left") - 1
    return np.where(before < 0, np.nan, _close(panel)[:, before])


def _rank_over_time(panel: Panel) -> Array:
    close = _close(panel)
    return np.where(np.isnan(close), np.nan, close.argsort(axis=1).argsort(axis=1))


def _future_volatility(panel: Panel) -> Array:
    ret = _ret(panel)
    ahead = np.stack([_lead(ret, step) for step in range(1, _HOLD_BARS + 1)])
    spread: Array = np.nanstd(ahead, axis=0)
    return spread


def _rolling_mean(panel: Panel) -> Array:
    close = _close(panel)
    total = np.zeros_like(close)
    for age in range(_WIDTH):
        total = total + _lag(close, age)
    return total / _WIDTH


def _weighted_mean(panel: Panel) -> Array:
    """Exponentially weighted mean of a window: its history starts anew each bar."""
    close = _close(panel)
    total = np.zeros_like(close)
    for age in range(3 * _WIDTH):
        total = total + _DECAY**age * _lag(close, age)
    return total


def _rank_in_the_bar(panel: Panel) -> Array:
    ret = np.where(panel.tradable, _ret(panel), np.nan)
    below = (ret[None, :, :] < ret[:, None, :]).sum(axis=1)
    return np.where(np.isfinite(ret), below + 1.0, np.nan)


def _running_maximum(panel: Panel) -> Array:
    return np.fmax.accumulate(_close(panel), axis=1)


def _universe_of_the_bar(panel: Panel) -> Array:
    return _mean_over(panel, panel.tradable)


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
    ret, result = _ret(panel), np.full(panel.tradable.shape, np.nan)
    for code in np.unique(sectors):
        members = sectors == code
        used = members & np.isfinite(ret)
        mean = np.where(used, ret, 0.0).sum(axis=0) / used.sum(axis=0)
        result = np.where(members, mean, result)
    return result


PLANTED: tuple[Probe, ...] = (
    Probe("next close", _next_close, (TRUNCATED, *_PRICES)),
    Probe("next open", _next_open, (TRUNCATED, *_PRICES)),
    Probe("centred window", _centred_window, (TRUNCATED, *_PRICES)),
    Probe(
        "z-score over the whole sample",
        _full_sample_zscore,
        (TRUNCATED, *_PRICES, "half_missing"),
    ),
    Probe("min-max scaler over the whole sample", _full_sample_scaler, ("scaled",)),
    Probe("maximum of the whole sample", _whole_sample_maximum, ("scaled",)),
    Probe("missing bars filled backwards", _back_fill, (TRUNCATED, *_PRICES), "gap"),
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
        (TRUNCATED, *_PRICES, "half_missing"),
    ),
    Probe(
        "bar of the week before the week is over",
        _unfinished_week,
        (TRUNCATED, *_PRICES),
    ),
    Probe("rank over the whole time", _rank_over_time, ("random_walk", "constant")),
    Probe("volatility of the bars to come", _future_volatility, (TRUNCATED, *_PRICES)),
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
