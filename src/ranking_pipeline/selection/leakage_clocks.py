"""Clocks: columns that name the bar instead of describing it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ranking_pipeline.row_ranks import percentile_ranks_within
from ranking_pipeline.selection.config import LeakageConfig
from ranking_pipeline.selection.leakage_bounds import leak_block_bars, lower_bounds
from ranking_pipeline.selection.leakage_report import (
    BLOCKED,
    NAN,
    SAFE,
    SUSPECT,
    Finding,
)
from ranking_pipeline.selection.partial_ic import RankColumns, partial_products
from ranking_pipeline.selection.problem import Problem

Series = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]

_SYMBOLS_ASKED = 20


def clocks(problem: Problem, config: LeakageConfig) -> dict[str, Finding]:
    """Suspect columns that follow time within the symbols: dates, row numbers, ages.

    The rank correlation with time is taken symbol by symbol, over at most 20 symbols
    evenly spread, and averaged: a running number shows whether it counts bars, rows of
    the table, or rows of each symbol. A clock can name the bars of the future; it
    cannot rank symbols if it is equal for all of them. A date that is coarser than
    about ten steps over the span, or that has been shuffled, is not seen.
    """
    asked = rows_of_some_symbols(problem)
    bars, symbols = problem.samples.bars[asked], problem.samples.symbols[asked]
    limit, first = config.max_time_correlation, symbols == symbols[:1]
    # less in one symbol, and the mean stays below the limit whatever the others have
    least = 1.0 - len(np.unique(symbols)) * (1.0 - limit) - 1e-9
    found = {}
    for column, name in enumerate(problem.samples.feature_names):
        values = problem.samples.features[asked, column].astype(np.float64)
        one = values[first], bars[first], symbols[first]
        if _mean_time_correlation(*one, config.min_pairs) < least:
            continue
        size = _mean_time_correlation(values, bars, symbols, config.min_pairs)
        if size > limit:
            once = _values_per_bar(problem, column) is not None
            found[name] = _clock(name, size, once, limit)
    return found


def bar_constant(
    problem: Problem,
    column: int,
    reference: npt.NDArray[np.float64],
    config: LeakageConfig,
) -> Finding | None:
    """Judge a column that is equal for all symbols of a bar; None if it is not.

    It cannot rank symbols. Whether it knows the future of the market is asked over
    time: the partial rank correlation with the bar's mean label, once the mean ranks
    of volatility have been removed.
    """
    values = _values_per_bar(problem, column)
    if values is None:
        return None
    bars, group = np.unique(problem.samples.bars, return_inverse=True)
    once = np.zeros(len(bars), dtype=np.intp)
    count = np.bincount(group)
    means = [
        np.bincount(group, series) / count for series in (problem.outcome, *reference.T)
    ]
    ranked = [percentile_ranks_within(series, once) for series in (values, *means)]
    columns = RankColumns(
        ranked[0][:, None].astype(np.float32),
        ranked[1][:, None],
        np.array(ranked[2:]).T.reshape(len(bars), -1),
        bars,
        once,
        problem.samples.shape[0],
        problem.min_symbols,
    )
    series = partial_products(columns)[:, :, 0]
    width = leak_block_bars(len(bars), problem.block_bars)
    bounds = lower_bounds(series, width, config.confidence)
    mean, low = float(bounds.mean[0]), float(bounds.low[0])
    knows = low > config.max_partial_ic
    text = "is equal for all symbols of a bar, so that it cannot rank them; "
    text += f"correlates {mean:+.3f} with the mean label over time"
    name = problem.samples.feature_names[column]
    status = BLOCKED if knows else SAFE
    return Finding(name, "bar_constant", mean, low, config.max_partial_ic, status, text)


def _clock(name: str, size: float, once: bool, limit: float) -> Finding:
    where = "is equal for all symbols of a bar and " if once else "within symbols "
    text = (
        f"{where}follows time (Spearman {size:.4f}): it can identify dates"
        f"{' and cannot rank symbols' if once else ''}"
    )
    return Finding(name, "follows_time", size, NAN, limit, SUSPECT, text)


def rows_of_some_symbols(problem: Problem) -> Rows:
    """Rows of at most 20 symbols, evenly spread, sorted by (symbol, bar)."""
    symbols = np.unique(problem.samples.symbols)
    step = max(1, -(-len(symbols) // _SYMBOLS_ASKED))
    rows = np.flatnonzero(np.isin(problem.samples.symbols, symbols[::step]))
    order = np.argsort(problem.samples.symbols[rows], kind="stable")
    return np.asarray(rows[order])


def _mean_time_correlation(
    values: Series, bars: Rows, symbols: Rows, min_pairs: int
) -> float:
    """Mean over symbols of |Spearman with time|; NaN where none can be measured."""
    known = np.isfinite(values)
    if not known.any():
        return NAN
    _, group = np.unique(symbols[known], return_inverse=True)
    count = np.bincount(group)
    x = percentile_ranks_within(values[known], group) - 0.5
    y = percentile_ranks_within(bars[known].astype(np.float64), group) - 0.5
    xy, xx, yy = (np.bincount(group, a) for a in (x * y, x * x, y * y))
    measured = (count >= min_pairs) & (xx > 0) & (yy > 0)
    if not measured.any():
        return NAN
    return float(np.mean(np.abs(xy[measured]) / np.sqrt((xx * yy)[measured])))


def _values_per_bar(problem: Problem, column: int) -> Series | None:
    """One value for each bar, NaN where not known; None if symbols differ."""
    values = problem.samples.features[:, column].astype(np.float64)
    _, starts = np.unique(problem.samples.bars, return_index=True)
    low, high = np.fmin.reduceat(values, starts), np.fmax.reduceat(values, starts)
    known = np.isfinite(low)
    constant = known.any() and np.array_equal(low[known], high[known])
    return low if constant else None
