"""Labels of a whole panel, the bar at which each is known, and their manifest."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.labels.barriers import (
    Prices,
    first_touch,
    highest,
    lead,
    lowest,
)
from ranking_pipeline.labels.config import LabelsConfig
from ranking_pipeline.labels.delisting import closes_with_payouts
from ranking_pipeline.labels.grammar import TargetSpec
from ranking_pipeline.labels.manifest import target_manifest
from ranking_pipeline.labels.sessions import require_room, stays_inside
from ranking_pipeline.labels.swings import swing_high, swing_low
from ranking_pipeline.labels.volatility import (
    Array,
    rolling_volatility,
    weighted_volatility,
)
from ranking_pipeline.panel import Panel

SYMBOLS_AT_A_TIME = 16  # keeps the working arrays in the processor's cache
END_SUFFIX = "__end"
UNKNOWN = -1


def compute_labels(
    panel: Panel,
    specs: Sequence[TargetSpec],
    config: LabelsConfig,
    delistings: pd.DataFrame | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Compute the labels of the tradable cells, and describe each target.

    Parameters
    ----------
    panel : Panel
        With the fields open, high, low and close.
    specs : sequence of TargetSpec
        From :func:`~ranking_pipeline.labels.grammar.parse_targets`.
    config : LabelsConfig
    delistings : DataFrame, optional
        From :func:`~ranking_pipeline.labels.delisting.read_delistings`: forward returns
        over the end of a name then end at what its holders got.

    Returns
    -------
    labels : DataFrame
        timestamp (UTC), symbol, and per target ``<target>`` (float32) and
        ``<target>__end`` (UTC); rows as in :meth:`Panel.rows`. Forward returns that are
        the payoff of a target follow the targets.
    target_manifest : DataFrame
        One row per target and payoff.

    Raises
    ------
    UserError
        When labels may not cross sessions and a window is longer than any session, or
        a name trades after its delisting.

    Notes
    -----
    The decision is made at the close of t, the entry is close[t+lag], the window is
    t+lag+1 ... t+lag+H. A label is NaN, and its end NaT, where the entry or the last
    bar of the window is missing or lies beyond the panel, where a volatility is needed
    and that at t is unknown or zero, and, unless ``cross_sessions``, where the window
    ends in a later session than that of t. Bars missing between them leave the label
    as it is. The end is always t+lag+H, also where a barrier is touched before: see
    :func:`label_matrix`.

    Path barriers stand at entry x (1 ± k sigma sqrt(H)), sigma the standard deviation
    of the one-bar returns up to t; a swing turns by r sigma sqrt(H). Triple barriers
    stand at entry x (1 ± multiple x sigma sqrt(H)), sigma exponentially weighted; a
    multiple of 0.8 makes the three classes about equally frequent on daily stocks at
    H = 5. Source: López de Prado (2018), chapter 3. A first touch is no leak here: it
    takes part in a fit only where its whole window has ended.
    """
    if not config.cross_sessions:
        require_room(panel, specs, config.entry_lag_bars)
    bars, symbols = panel.rows()
    everything = [*specs, *_carried_payoffs(specs)]
    stamps = pd.DatetimeIndex(panel.timestamps).tz_localize("UTC")
    columns: dict[str, object] = {
        "timestamp": stamps.take(bars),
        "symbol": pd.Series(panel.symbols, dtype="str").take(symbols).array,
    }
    paid = None if delistings is None else closes_with_payouts(panel, delistings)
    for spec in everything:
        values, ends = label_matrix(panel, spec, config, paid)
        columns[spec.name] = values[symbols, bars]
        columns[spec.name + END_SUFFIX] = _end_stamps(stamps, ends[symbols, bars])
    labels = pd.DataFrame(columns, copy=False)
    return labels, target_manifest(labels, everything, {s.name for s in specs}, config)


def _carried_payoffs(specs: Sequence[TargetSpec]) -> list[TargetSpec]:
    named = {spec.name for spec in specs}
    carried = {
        spec.payoff: replace(
            spec,
            name=spec.payoff,
            kind="forward_return",
            task="regression",
            event="",
            multiple=math.nan,
            threshold=math.nan,
        )
        for spec in specs
        if spec.payoff not in named
    }
    return list(carried.values())


def _end_stamps(
    stamps: pd.DatetimeIndex, ends: npt.NDArray[np.int32]
) -> pd.DatetimeIndex:
    return stamps.take(ends, allow_fill=True, fill_value=None)


def label_matrix(
    panel: Panel,
    spec: TargetSpec,
    config: LabelsConfig,
    paid: Array | None = None,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
    """Compute one target in panel layout.

    Parameters
    ----------
    panel : Panel
    spec : TargetSpec
    config : LabelsConfig
    paid : ndarray of float64, shape (S, T), optional
        From :func:`~ranking_pipeline.labels.delisting.closes_with_payouts`; where a
        forward return ends. The closes by default.

    Returns
    -------
    values : ndarray of float32, shape (S, T), NaN where the label is not known
    ends : ndarray of int32, shape (S, T)
        Bar at which it is known, -1 where it never is: the last one of its window, also
        where a barrier is touched before. Otherwise the rows at the end of a span that
        are known in time would be the touched ones only.
    """
    values = np.full(panel.tradable.shape, np.nan, dtype=np.float32)
    ends = np.full(panel.tradable.shape, UNKNOWN, dtype=np.int32)
    now = np.arange(panel.n_bars, dtype=np.int32)
    window = config.entry_lag_bars + spec.horizon_bars
    allowed = np.ones(panel.n_bars, dtype=np.bool_)
    if not config.cross_sessions:
        allowed = stays_inside(panel.session, window)
    for chunk, prices in _chunks(panel):
        label = _label(prices, spec, config)
        if paid is not None and spec.kind == "forward_return":
            entry = lead(prices.close, config.entry_lag_bars)
            label = lead(paid[chunk], window) / entry - 1.0
        values[chunk] = np.where(allowed, label, np.nan)
        known = np.isfinite(values[chunk])
        ends[chunk] = np.where(known, now + window, UNKNOWN)
    return values, ends


def _chunks(panel: Panel) -> Iterator[tuple[slice, Prices]]:
    for start in range(0, panel.n_symbols, SYMBOLS_AT_A_TIME):
        chunk = slice(start, start + SYMBOLS_AT_A_TIME)
        fields = (
            panel.field(name)[chunk].astype(np.float64)
            for name in ("open", "high", "low", "close")
        )
        yield chunk, Prices(*fields)


def _label(prices: Prices, spec: TargetSpec, config: LabelsConfig) -> Array:
    lag, horizon = config.entry_lag_bars, spec.horizon_bars
    entry, last = lead(prices.close, lag), lead(prices.close, lag + horizon)
    if spec.kind == "forward_return":
        return last / entry - 1.0
    known = np.isfinite(entry) & np.isfinite(last)
    if spec.kind == "excursion":
        label = _reached(prices, spec, config) / entry - 1.0
    elif spec.kind == "threshold":
        label = _beyond(prices, spec, config, entry)
    else:
        width = _width(prices.close, spec, config)
        known &= width > 0
        label = _event(prices, spec, config, entry, width)
    return np.where(known, label, np.nan)


def _reached(prices: Prices, spec: TargetSpec, config: LabelsConfig) -> Array:
    """Price furthest up (``mfe``) or down (``mdd``) inside the window."""
    if spec.event.endswith("mfe"):
        return highest(prices.high, config.entry_lag_bars, spec.horizon_bars)
    return lowest(prices.low, config.entry_lag_bars, spec.horizon_bars)


def _beyond(
    prices: Prices, spec: TargetSpec, config: LabelsConfig, entry: Array
) -> Array:
    reached = _reached(prices, spec, config)
    if spec.event == "peak_mfe":
        return (reached >= entry * (1.0 + spec.threshold)).astype(np.float64)
    return (reached <= entry * (1.0 - spec.threshold)).astype(np.float64)


def _event(
    prices: Prices, spec: TargetSpec, config: LabelsConfig, entry: Array, width: Array
) -> Array:
    """Watch for the event of a path, a swing or a triple barrier, ``width`` away."""
    lag, horizon = config.entry_lag_bars, spec.horizon_bars
    if spec.event == "will_peak":
        happened = highest(prices.high, lag, horizon) >= entry * (1.0 + width)
    elif spec.event == "will_valley":
        happened = lowest(prices.low, lag, horizon) <= entry * (1.0 - width)
    elif spec.event == "swing_high":
        happened = swing_high(prices.high, prices.low, width, lag, horizon)
    elif spec.event == "swing_low":
        happened = swing_low(prices.high, prices.low, width, lag, horizon)
    else:
        return first_touch(prices, entry, width, lag, horizon).astype(np.float64)
    return happened.astype(np.float64)


def _width(close: Array, spec: TargetSpec, config: LabelsConfig) -> Array:
    """Measure how far a price has to go, as a share of it; NaN where unknown."""
    root = math.sqrt(spec.horizon_bars)
    if spec.kind in {"path", "swing"}:
        sigma = rolling_volatility(close, config.path_volatility_bars)
        return spec.multiple * sigma * root
    sigma = weighted_volatility(
        close,
        config.barrier_volatility_span_bars,
        config.barrier_volatility_min_bars,
    )
    return config.barrier_multiple * sigma * root
