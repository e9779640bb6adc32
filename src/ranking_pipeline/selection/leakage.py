"""Leakage screen: which features say more about a target than an honest one can."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.selection.config import LeakageConfig
from ranking_pipeline.selection.leakage_bounds import (
    Bounds,
    leak_block_bars,
    lower_bounds,
)
from ranking_pipeline.selection.leakage_clocks import bar_constant, clocks
from ranking_pipeline.selection.leakage_copies import by_name, near_copies
from ranking_pipeline.selection.leakage_outcomes import Future, futures
from ranking_pipeline.selection.leakage_report import (
    BLOCKED,
    COLUMNS,
    SAFE,
    SUSPECT,
    Finding,
    report_of,
    usable_features,
)
from ranking_pipeline.selection.leakage_symbols import symbol_constants
from ranking_pipeline.selection.partial_ic import (
    RankColumns,
    partial_ic,
    partial_ics,
    partial_products,
)
from ranking_pipeline.selection.problem import Problem

__all__ = [
    "BLOCKED",
    "COLUMNS",
    "SAFE",
    "SUSPECT",
    "partial_ic",
    "screen_features",
    "usable_features",
    "volatility_ranks",
]

Matrix = npt.NDArray[np.float64]

_CELLS_AT_ONCE = 20_000_000


def screen_features(
    problem: Problem, label_columns: frozenset[str], config: LeakageConfig
) -> pd.DataFrame:
    """Judge every feature of a problem by the first rule that fires.

    The rules, in order: a name like a label's; a near copy of the label; a column that
    follows time; one that encodes the symbols' mean labels; one that is equal for all
    symbols of a bar; and a partial rank IC, with the label, its size, or a neighbouring
    label in the future, whose lower bound exceeds what an honest feature reaches. The
    partial IC is what is left after the ranks of audited volatility columns have been
    removed per bar: how far prices will move can be known to a good part, and such a
    feature is no leak.

    What the screen cannot see: a leak weaker than ``max_partial_ic`` plus its sampling
    error, one that is no monotone function of the label nor of its size, and one that
    only works together with another column. :func:`sentinels.confirm_leaks` asks models
    about the latter two.

    Parameters
    ----------
    problem : Problem
        Of either view: in the time-series view ranks, and the partial IC, are taken
        over time within each symbol.
    label_columns : frozenset of str
        Columns of the label table.
    config : LeakageConfig

    Returns
    -------
    DataFrame
        One row per feature, columns as in ``COLUMNS``.
    """
    names = problem.samples.feature_names
    early: dict[str, Finding] = symbol_constants(problem, config)
    early.update(clocks(problem, config))
    early.update(near_copies(problem, config))
    for name in names:
        finding = by_name(name, label_columns, config)
        if finding is not None:
            early[name] = finding
    measured = _by_partial_ic(problem, config)
    reference = _volatility_values(problem, config.volatility_columns)
    findings = []
    for column, name in enumerate(names):
        finding = early.get(name, measured[column])
        unranked = name not in early and not np.isfinite(finding.value)
        if unranked and problem.view == "cross_section":
            constant = bar_constant(problem, column, reference, config)
            finding = finding if constant is None else constant
        findings.append(finding)
    return report_of(problem.target, findings)


def volatility_ranks(problem: Problem, columns: Sequence[str]) -> Matrix:
    """Percentile ranks of the audited volatility columns that the problem has.

    Returns
    -------
    ndarray of float64, shape (n, k)
        The middle, 1/2, where a column is not known; k may be 0.
    """
    present = _present(problem, columns)
    return np.nan_to_num(problem.ranks[:, present].astype(np.float64), nan=0.5)


def series_over_bars(columns: RankColumns, view: str) -> npt.NDArray[np.float64]:
    """Partial IC per bar in either view, shape (T, F, O)."""
    over_time = view == "time_series"
    return partial_products(columns) if over_time else partial_ics(columns)


def _by_partial_ic(problem: Problem, config: LeakageConfig) -> list[Finding]:
    asked = futures(problem)
    samples = problem.samples
    reference = volatility_ranks(problem, config.volatility_columns)
    outcomes = np.column_stack([future.ranks for future in asked])
    n_bars = samples.shape[0]
    width = max(1, _CELLS_AT_ONCE // (n_bars * len(asked)))
    n_measured = len(np.unique(samples.bars))
    block_bars = leak_block_bars(n_measured, problem.block_bars)
    found = []
    for start in range(0, problem.ranks.shape[1], width):
        chunk = slice(start, start + width)
        columns = RankColumns(
            problem.ranks[:, chunk],
            outcomes,
            reference,
            samples.bars,
            samples.symbols,
            n_bars,
            problem.min_symbols,
        )
        series = series_over_bars(columns, problem.view)
        flat = series.reshape(n_bars, -1)
        bounds = lower_bounds(flat, block_bars, config.confidence)
        names = samples.feature_names[chunk]
        found += [
            _verdict(name, place * len(asked), asked, bounds, config, reference)
            for place, name in enumerate(names)
        ]
    return found


def _verdict(
    name: str,
    first: int,
    asked: Sequence[Future],
    bounds: Bounds,
    config: LeakageConfig,
    reference: Matrix,
) -> Finding:
    """Blocked by the first future that the feature knows, or safe by the label."""
    limits = [
        config.max_partial_size_ic
        if future.rule == "partial_ic_size"
        else config.max_partial_ic
        for future in asked
    ]
    known = [k for k, limit in enumerate(limits) if bounds.low[first + k] > limit]
    place = known[0] if known else 0
    text = _describe(asked[place], bounds, first + place, config, reference.shape[1])
    return Finding(
        name,
        asked[place].rule,
        float(bounds.mean[first + place]),
        float(bounds.low[first + place]),
        limits[place],
        BLOCKED if known else SAFE,
        text,
    )


def _describe(
    future: Future, bounds: Bounds, place: int, config: LeakageConfig, removed: int
) -> str:
    if not bounds.n_bars[place]:
        return "nothing to correlate once volatility is removed"
    beyond = "beyond volatility" if removed else "(no volatility reference)"
    text = f"rank IC {bounds.mean[place]:+.3f} with {future.words} {beyond}"
    text += f" over {bounds.n_bars[place]} bars"
    if not np.isfinite(bounds.low[place]):
        return f"{text}; {bounds.n_blocks[place]} blocks are too few for a bound"
    return f"{text}; at {config.confidence:.1%} confidence at least " + (
        f"{bounds.low[place]:.3f}"
    )


def _volatility_values(problem: Problem, columns: Sequence[str]) -> Matrix:
    """The same columns as measured, 0 where not known, shape (n, k)."""
    present = _present(problem, columns)
    return np.nan_to_num(problem.samples.features[:, present].astype(np.float64))


def _present(problem: Problem, columns: Sequence[str]) -> list[int]:
    names = problem.samples.feature_names
    return [names.index(name) for name in columns if name in names]
