"""Labels of a whole panel, the bar at which each is known, and their manifest."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.features.windows import Array
from ranking_pipeline.labels.barriers import Bars, first_touch, lead
from ranking_pipeline.labels.config import LabelsConfig
from ranking_pipeline.labels.grammar import TargetSpec
from ranking_pipeline.labels.volatility import rolling_volatility, weighted_volatility
from ranking_pipeline.panel import Panel

SYMBOLS_AT_A_TIME = 16  # keeps the working arrays in the processor's cache
END_SUFFIX = "__end"
UNKNOWN = -1

_EVENT_TEXT = {
    "will_peak": "1 if a high reaches the upper barrier, else 0",
    "will_valley": "1 if a low reaches the lower barrier, else 0",
    "first_touch": "1 upper, -1 lower barrier first, 0 none",
}


def compute_labels(
    panel: Panel, specs: Sequence[TargetSpec], config: LabelsConfig
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Compute the labels of the tradable cells, and describe each target.

    Parameters
    ----------
    panel : Panel
        With the fields open, high, low and close.
    specs : sequence of TargetSpec
        From :func:`~ranking_pipeline.labels.grammar.parse_targets`.
    config : LabelsConfig

    Returns
    -------
    labels : DataFrame
        timestamp (UTC), symbol, and per target ``<target>`` (float32) and
        ``<target>__end`` (UTC); rows as in :meth:`Panel.rows`. Forward returns that are
        the payoff of a target follow the targets.
    target_manifest : DataFrame
        One row per target and payoff.

    Notes
    -----
    The decision is made at the close of t, the entry is close[t+lag], the window ends
    at t+lag+H. A label is NaN, and its end NaT, where the entry or the last bar of the
    window is missing or lies beyond the panel, or where the volatility at t is unknown
    or zero. Bars missing between them leave the label as it is. The end is the bar of
    the first touch where a barrier is touched, else t+lag+H.

    Path barriers stand at entry x (1 ± k sigma sqrt(H)), sigma the standard deviation
    of the one-bar returns up to t. Triple barriers stand at
    entry x (1 ± multiple x sigma sqrt(H)), sigma exponentially weighted; a multiple of
    0.8 makes the three classes about equally frequent on daily stocks at H = 5.
    Source: López de Prado (2018), chapter 3.
    """
    bars, symbols = panel.rows()
    everything = [*specs, *_carried_payoffs(specs)]
    stamps = pd.DatetimeIndex(panel.timestamps).tz_localize("UTC")
    columns: dict[str, object] = {
        "timestamp": stamps.take(bars),
        "symbol": pd.Series(panel.symbols, dtype="str").take(symbols).array,
    }
    for spec in everything:
        values, ends = label_matrix(panel, spec, config)
        columns[spec.name] = values[symbols, bars]
        columns[spec.name + END_SUFFIX] = _end_stamps(stamps, ends[symbols, bars])
    labels = pd.DataFrame(columns, copy=False)
    return labels, _manifest(labels, everything, {s.name for s in specs}, config)


def _carried_payoffs(specs: Sequence[TargetSpec]) -> list[TargetSpec]:
    named = {spec.name for spec in specs}
    carried = {
        spec.payoff: TargetSpec(
            spec.payoff, "forward_return", "regression", spec.horizon_bars, spec.payoff
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
    panel: Panel, spec: TargetSpec, config: LabelsConfig
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
    """Compute one target in panel layout.

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
    for chunk, bars in _chunks(panel):
        values[chunk] = _label(bars, spec, config)
        known = np.isfinite(values[chunk])
        window = config.entry_lag_bars + spec.horizon_bars
        ends[chunk] = np.where(known, now + window, UNKNOWN)
    return values, ends


def _chunks(panel: Panel) -> Iterator[tuple[slice, Bars]]:
    for start in range(0, panel.n_symbols, SYMBOLS_AT_A_TIME):
        chunk = slice(start, start + SYMBOLS_AT_A_TIME)
        fields = (
            panel.field(name)[chunk].astype(np.float64)
            for name in ("open", "high", "low", "close")
        )
        yield chunk, Bars(*fields)


def _label(bars: Bars, spec: TargetSpec, config: LabelsConfig) -> Array:
    lag, horizon = config.entry_lag_bars, spec.horizon_bars
    entry, last = lead(bars.close, lag), lead(bars.close, lag + horizon)
    if spec.kind == "forward_return":
        return last / entry - 1.0
    width = _barrier_width(bars.close, spec, config)
    upper, lower = entry * (1.0 + width), entry * (1.0 - width)
    if spec.event == "will_peak":
        lower = np.full_like(lower, -np.inf)
    if spec.event == "will_valley":
        upper = np.full_like(upper, np.inf)
    side = first_touch(bars, upper, lower, lag, horizon)
    known = np.isfinite(entry) & np.isfinite(last) & (width > 0)
    label = np.abs(side) if spec.task == "binary" else side
    return np.where(known, label, np.nan)


def _barrier_width(close: Array, spec: TargetSpec, config: LabelsConfig) -> Array:
    """Measure the barriers' distance as a share of the entry; NaN where unknown."""
    root = math.sqrt(spec.horizon_bars)
    if spec.kind == "path":
        sigma = rolling_volatility(close, config.path_volatility_bars)
        return spec.multiple * sigma * root
    sigma = weighted_volatility(
        close,
        config.barrier_volatility_span_bars,
        config.barrier_volatility_min_bars,
    )
    return config.barrier_multiple * sigma * root


def _manifest(
    labels: pd.DataFrame,
    specs: Sequence[TargetSpec],
    targets: set[str],
    config: LabelsConfig,
) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "target": spec.name,
                "kind": spec.kind,
                "task": spec.task,
                "horizon_bars": spec.horizon_bars,
                "entry_lag_bars": config.entry_lag_bars,
                "payoff": spec.payoff,
                "is_target": spec.name in targets,
                "formula": _formula(spec, config),
                "n_rows": int(labels[spec.name].count()),
                "class_share": _class_share(labels[spec.name], spec.task),
            }
            for spec in specs
        ]
    )


def _formula(spec: TargetSpec, config: LabelsConfig) -> str:
    entry, horizon = f"close[t+{config.entry_lag_bars}]", spec.horizon_bars
    if spec.kind == "forward_return":
        return f"close[t+{config.entry_lag_bars + horizon}] / {entry} - 1"
    if spec.kind == "path":
        return (
            f"{_EVENT_TEXT[spec.event]}, within {horizon} bars of {entry}; barriers "
            f"{entry} (1 ± {spec.multiple:g} sigma sqrt({horizon})), sigma: standard "
            f"deviation of {config.path_volatility_bars} returns at t"
        )
    return (
        f"{_EVENT_TEXT['first_touch']}, within {horizon} bars of {entry}; barriers "
        f"{entry} (1 ± {config.barrier_multiple:g} sigma sqrt({horizon})), sigma: "
        f"exponentially weighted, span {config.barrier_volatility_span_bars}, at t"
    )


def _class_share(values: pd.Series, task: str) -> str:
    if task == "regression":
        return ""
    share = values.value_counts(normalize=True).sort_index()
    return ", ".join(f"{value:g}: {part:.2f}" for value, part in share.items())
