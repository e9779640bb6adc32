"""Planted look-aheads of the monthly stages: candidates, channels, weights and books."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ranking_pipeline.audit.example_market import N_BARS, N_SYMBOLS
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

_MOMENTUM_BARS, _MEAN_BARS, _HALF_WINDOW, _VOLUME_BARS = 5, 5, 5, 10
_LAG = 1
# The score of bar t is traded at the close of t + lag, and first earns a bar later.
_FIRST_EARNED = _LAG + 1
_SCORE_WAYS = ("random_walk", "missing", "constant", "shuffled")


def _decided(panel: Panel, *, own_month: bool) -> npt.NDArray[np.intp]:
    """Last bar of each bar's month, or of the month before; -1 without one."""
    months = panel.trading_dates.astype("M8[M]")
    if own_month:
        return np.searchsorted(months, months, side="right") - 1
    return np.searchsorted(months, months, side="left") - 1


def _told_in(values: Array, bars: npt.NDArray[np.intp]) -> Array:
    return np.where(bars < 0, np.nan, values[:, bars])


def _places(panel: Panel) -> Array:
    """Place of each name's momentum among the tradable names of its bar's sector."""
    close = close_of(panel)
    momentum = close / lagged(close, _MOMENTUM_BARS) - 1.0
    momentum = np.where(panel.tradable, momentum, np.nan)
    same = panel.sectors[None] == panel.sectors[:, None]
    below = ((momentum[None] < momentum[:, None]) & same).sum(axis=1)
    return np.where(np.isfinite(momentum), below + 1.0, np.nan)


def _candidates_of_their_own_month(panel: Panel) -> Array:
    return _told_in(_places(panel), _decided(panel, own_month=True))


def _candidates_of_the_month_before(panel: Panel) -> Array:
    return _told_in(_places(panel), _decided(panel, own_month=False))


def _members(panel: Panel, *, own_month: bool) -> Array:
    """Deviation from the mean of the names that are members when it is decided."""
    bars = _decided(panel, own_month=own_month)
    return mean_over(panel, panel.tradable[:, np.maximum(bars, 0)] & (bars >= 0))


def _members_of_the_month_to_come(panel: Panel) -> Array:
    return _members(panel, own_month=True)


def _members_at_the_asof_bar(panel: Panel) -> Array:
    return _members(panel, own_month=False)


def _mean(values: Array) -> Array:
    return np.asarray(
        sum(lagged(values, age) for age in range(_MEAN_BARS)) / _MEAN_BARS
    )


def _channel_of_all_bars(panel: Panel) -> Array:
    close = close_of(panel)
    highest: Array = np.nanmax(close, axis=1, keepdims=True)
    return _mean(close) / highest


def _channel_so_far(panel: Panel) -> Array:
    close = close_of(panel)
    return _mean(close) / np.fmax.accumulate(close, axis=1)


def _coverage_of_later_bars(panel: Panel) -> Array:
    """Bars within five on either side, of which none is after the panel."""
    there = np.pad(
        panel.present.astype(np.float64), ((0, 0), (_HALF_WINDOW, _HALF_WINDOW))
    )
    wide = np.lib.stride_tricks.sliding_window_view(there, 2 * _HALF_WINDOW + 1, 1)
    return np.asarray(wide.sum(axis=2))


def _coverage_so_far(panel: Panel) -> Array:
    there = np.pad(panel.present.astype(np.float64), ((0, 0), (_HALF_WINDOW, 0)))
    window = np.lib.stride_tricks.sliding_window_view(there, _HALF_WINDOW + 1, 1)
    return np.asarray(window.sum(axis=2))


def _weight_of_all_bars(panel: Panel) -> Array:
    risk: Array = np.nanstd(returns_of(panel), axis=1, keepdims=True)
    return np.broadcast_to(1.0 / risk, panel.tradable.shape).copy()


def _capacity_of_all_bars(panel: Panel) -> Array:
    dollars = close_of(panel) * panel.field("volume")
    usual: Array = np.nanmedian(dollars, axis=1, keepdims=True)
    return np.broadcast_to(usual, panel.tradable.shape).copy()


def _capacity_so_far(panel: Panel) -> Array:
    dollars = close_of(panel) * panel.field("volume")
    recent = np.stack([lagged(dollars, age) for age in range(_VOLUME_BARS)])
    usual: Array = np.nanmedian(recent, axis=0)
    return usual


def _earned(panel: Panel, delay: int) -> Array:
    """What scores earn on returns that no future alters, ``delay`` bars later.

    One number of each bar, in the rows of all symbols.
    """
    known = panel.cut(slice(None), slice(N_SYMBOLS))
    score = np.where(known.tradable, close_of(known), np.nan)
    above = (score[None] < score[:, None]).sum(axis=1)
    below = (score[None] > score[:, None]).sum(axis=1)
    weights = np.where(np.isfinite(score), above - below, 0).astype(np.float64)
    moves = np.random.default_rng(1).normal(0, 0.01, (N_SYMBOLS, N_BARS))
    gross = (lagged(weights, delay) * moves[:, : panel.n_bars]).sum(axis=0)
    return np.tile(gross, (panel.n_symbols, 1))


def _earns_its_own_bar(panel: Panel) -> Array:
    return _earned(panel, 0)


def _traded_without_a_lag(panel: Panel) -> Array:
    return _earned(panel, _FIRST_EARNED - 1)


def _traded_after_the_lag(panel: Panel) -> Array:
    return _earned(panel, _FIRST_EARNED)


PLANTED_STAGES: tuple[Probe, ...] = (
    Probe(
        "candidates chosen at the end of the month that they trade",
        _candidates_of_their_own_month,
        (TRUNCATED, "random_walk", "missing", "shuffled"),
    ),
    Probe(
        "members of the month to come",
        _members_of_the_month_to_come,
        ("missing", "half_missing", "universe"),
    ),
    Probe(
        "channel over the highest level of all bars", _channel_of_all_bars, ("scaled",)
    ),
    Probe(
        "coverage that counts later bars",
        _coverage_of_later_bars,
        (TRUNCATED, "missing", "half_missing"),
    ),
    Probe(
        "weight by the volatility of all bars",
        _weight_of_all_bars,
        (TRUNCATED, *PRICES, "half_missing"),
    ),
    Probe(
        "capacity by the usual volume of all bars",
        _capacity_of_all_bars,
        (TRUNCATED, "random_walk", "missing", "scaled"),
    ),
    Probe("score that earns its own bar", _earns_its_own_bar, _SCORE_WAYS, reach=-2),
    Probe("trade without its lag", _traded_without_a_lag, _SCORE_WAYS, reach=-2),
)
HONEST_STAGES: tuple[Probe, ...] = (
    Probe("candidates of the month before", _candidates_of_the_month_before),
    Probe("members at the as-of bar", _members_at_the_asof_bar),
    Probe("channel over the highest level so far", _channel_so_far),
    Probe("coverage of the bars before", _coverage_so_far),
    Probe("capacity by the usual volume so far", _capacity_so_far),
    Probe(
        "score that earns after its trade", _traded_after_the_lag, reach=-_FIRST_EARNED
    ),
)
