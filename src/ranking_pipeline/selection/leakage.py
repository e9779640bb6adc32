"""Leakage screen: which features say more about a target than an honest one can."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.evaluation.inference import BlockTest, block_test
from ranking_pipeline.models.learning_target import average_ranks
from ranking_pipeline.selection.config import LeakageConfig
from ranking_pipeline.selection.problem import Problem

Series = npt.NDArray[np.float64]
Matrix = npt.NDArray[np.float64]

SAFE, SUSPECT, BLOCKED = "SAFE", "SUSPECT", "BLOCKED"
COLUMNS = (
    "target",
    "feature",
    "rule",
    "value",
    "lower_bound",
    "threshold",
    "status",
    "evidence",
)
_SHORTEST_BLOCK_BARS = 5
_BLOCKS_WANTED = 8
_SPANNED = 1e-6  # share of its variation that a spanned column keeps by rounding


@dataclass(frozen=True)
class Finding:
    """What one rule has to say about one feature."""

    feature: str
    rule: str
    value: float
    lower_bound: float
    threshold: float
    status: str
    evidence: str


def screen_features(
    problem: Problem, label_columns: frozenset[str], config: LeakageConfig
) -> pd.DataFrame:
    """Judge every feature of a problem by the first rule that fires.

    The rules, in order: a column with a label's name; a near copy of the label; a
    column equal for all symbols that follows time; a partial rank IC whose lower bound
    exceeds what an honest feature reaches, after the ranks of audited volatility
    columns have been removed per bar. How far prices will move can be known to a good
    part, and such a feature is no leak.

    Parameters
    ----------
    problem : Problem
    label_columns : frozenset of str
        Columns of the label table.
    config : LeakageConfig

    Returns
    -------
    DataFrame
        One row per feature, columns as in ``COLUMNS``.
    """
    grouping = _Grouping.of(problem.samples.bars)
    outcome = _percentiles(problem.outcome, problem.samples.bars)
    reference = volatility_ranks(problem, config.volatility_columns)
    findings = []
    for column, name in enumerate(problem.samples.feature_names):
        findings.append(
            _by_name(name, label_columns)
            or _by_copy(problem, column, config)
            or _by_time(problem, column, grouping, config)
            or _by_partial_ic(problem, column, outcome, reference, grouping, config)
        )
    rows = [{"target": problem.target, **vars(finding)} for finding in findings]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def usable_features(report: pd.DataFrame, allow_suspect: bool) -> tuple[str, ...]:
    """Features of a report that may be used: SAFE, and SUSPECT where allowed."""
    allowed = {SAFE, SUSPECT} if allow_suspect else {SAFE}
    return tuple(report.loc[report["status"].isin(allowed), "feature"])


def volatility_ranks(problem: Problem, columns: Sequence[str]) -> Matrix:
    """Percentile ranks of the audited volatility columns that the problem has.

    Returns
    -------
    ndarray of float64, shape (n, k)
        The middle of the bar, 1/2, where a column is not known; k may be 0.
    """
    names = problem.samples.feature_names
    present = [names.index(name) for name in columns if name in names]
    return np.nan_to_num(problem.ranks[:, present].astype(np.float64), nan=0.5)


def partial_ic(
    feature: Series,
    outcome: Series,
    reference: Matrix,
    bars: npt.NDArray[np.intp],
    n_bars: int,
    min_symbols: int,
) -> Series:
    """Correlation per bar of two rank columns after others are removed from both.

    Parameters
    ----------
    feature, outcome : ndarray, shape (n,)
        Ranks within the bar.
    reference : ndarray, shape (n, k)
        Ranks to be removed by least squares; with k = 0 nothing is.
    bars : ndarray of int, shape (n,)
    n_bars : int
        T.
    min_symbols : int
        Fewest complete rows per bar, besides one for each column removed.

    Returns
    -------
    ndarray of float64, shape (T,)
        NaN where a bar is too small or nothing is left to correlate.
    """
    known = np.isfinite(feature) & np.isfinite(outcome)
    bar = bars[known]
    x, y = (_centred(values[known], bar, n_bars) for values in (feature, outcome))
    z = [_centred(column[known], bar, n_bars) for column in reference.T]
    xx, yy, xy = (np.bincount(bar, a * b, n_bars) for a, b in ((x, x), (y, y), (x, y)))
    if z:
        both = np.array([[np.bincount(bar, c * v, n_bars) for v in (x, y)] for c in z])
        moments = np.moveaxis(both, 2, 0)  # (k, 2, T) -> (T, k, 2)
        explained = np.einsum(
            "tka,tkb->abt", moments, _solve(_gram(z, bar, n_bars), moments)
        )
        left_x, left_y = xx - explained[0, 0], yy - explained[1, 1]
        xy = xy - explained[0, 1]
    else:
        left_x, left_y = xx, yy
    # what rounding leaves of a column that the reference spans is no variation
    usable = (left_x > _SPANNED * xx) & (left_y > _SPANNED * yy)
    usable &= np.bincount(bar, minlength=n_bars) >= min_symbols + len(z)
    result = np.full(n_bars, np.nan)
    result[usable] = xy[usable] / np.sqrt((left_x * left_y)[usable])
    return result


def lower_bound(test: BlockTest, confidence: float) -> float:
    """One-sided lower bound of |mean|; NaN with too few blocks."""
    from scipy import stats

    if not np.isfinite(test.standard_error):
        return float("nan")
    quantile = float(stats.t.ppf(confidence, test.n_blocks - 1))
    return max(0.0, abs(test.mean) - quantile * test.standard_error)


def _by_name(name: str, label_columns: frozenset[str]) -> Finding | None:
    if name not in label_columns and not name.endswith("__end"):
        return None
    nan = float("nan")
    text = "the name is that of a column of the label table"
    return Finding(name, "role", nan, nan, nan, BLOCKED, text)


def _by_copy(problem: Problem, column: int, config: LeakageConfig) -> Finding | None:
    values = problem.samples.features[:, column].astype(np.float64)
    name = problem.samples.feature_names[column]
    for label in (problem.outcome, problem.samples.target.astype(np.float64)):
        both = np.isfinite(values) & np.isfinite(label)
        if both.sum() < config.min_pairs:
            continue
        size = abs(_pearson(values[both], label[both]))
        if size >= config.near_copy_correlation:
            text = f"correlates {size:.4f} with the label over {both.sum()} rows"
            limit = config.near_copy_correlation
            return Finding(name, "near_copy", size, size, limit, BLOCKED, text)
    return None


def _by_time(
    problem: Problem, column: int, grouping: _Grouping, config: LeakageConfig
) -> Finding | None:
    values = problem.samples.features[:, column].astype(np.float64)
    low = np.fmin.reduceat(values, grouping.starts)
    high = np.fmax.reduceat(values, grouping.starts)
    known = np.isfinite(low)
    if known.sum() < config.min_pairs or np.any(low[known] != high[known]):
        return None
    once = np.zeros(int(known.sum()), dtype=np.intp)
    ranks, _ = average_ranks(low[known], once)
    size = abs(_pearson(ranks, grouping.bars[known].astype(np.float64)))
    if not size > config.max_time_correlation:
        return None
    text = (
        f"is equal for all symbols of a bar and follows time (Spearman {size:.4f}): "
        "it can identify dates and cannot rank symbols"
    )
    name, limit = problem.samples.feature_names[column], config.max_time_correlation
    return Finding(name, "follows_time", size, float("nan"), limit, SUSPECT, text)


def _by_partial_ic(
    problem: Problem,
    column: int,
    outcome: Series,
    reference: Matrix,
    grouping: _Grouping,
    config: LeakageConfig,
) -> Finding:
    series = partial_ic(
        problem.ranks[:, column].astype(np.float64),
        outcome,
        reference,
        problem.samples.bars,
        problem.samples.shape[0],
        problem.min_symbols,
    )
    longest = max(_SHORTEST_BLOCK_BARS, len(grouping.bars) // _BLOCKS_WANTED)
    test = block_test(series, min(problem.block_bars, longest))
    bound = lower_bound(test, config.confidence)
    blocked = bound > config.max_partial_ic
    name = problem.samples.feature_names[column]
    status = BLOCKED if blocked else SAFE
    text = _describe(test, bound, config, reference.shape[1] > 0)
    limit = config.max_partial_ic
    return Finding(name, "partial_ic", test.mean, bound, limit, status, text)


def _describe(
    test: BlockTest, bound: float, config: LeakageConfig, referenced: bool
) -> str:
    if not test.n_bars:
        return "nothing to correlate once volatility is removed"
    removed = "beyond volatility" if referenced else "(no volatility reference)"
    text = f"rank IC {test.mean:+.3f} {removed} over {test.n_bars} bars"
    if not np.isfinite(bound):
        return f"{text}; {test.n_blocks} blocks are too few for a bound"
    return f"{text}; at {config.confidence:.1%} confidence at least {bound:.3f}"


@dataclass(frozen=True)
class _Grouping:
    """Where each bar begins in rows sorted by bar."""

    bars: npt.NDArray[np.intp]
    starts: npt.NDArray[np.intp]

    @classmethod
    def of(cls, bars: npt.NDArray[np.intp]) -> _Grouping:
        unique, starts = np.unique(bars, return_index=True)
        return cls(unique, starts)


def _percentiles(values: Series, bars: npt.NDArray[np.intp]) -> Series:
    rank, size = average_ranks(values, bars)
    return np.asarray(rank / (size + 1))


def _centred(values: Series, bar: npt.NDArray[np.intp], n_bars: int) -> Series:
    count = np.maximum(np.bincount(bar, minlength=n_bars), 1)
    mean = np.bincount(bar, values, n_bars) / count
    return np.asarray(values - mean[bar])


def _gram(z: list[Series], bar: npt.NDArray[np.intp], n_bars: int) -> Matrix:
    """Second moments of the columns per bar, shape (T, k, k)."""
    gram = np.empty((n_bars, len(z), len(z)))
    for i, first in enumerate(z):
        for j, second in enumerate(z[: i + 1]):
            gram[:, i, j] = gram[:, j, i] = np.bincount(bar, first * second, n_bars)
    return gram


def _solve(gram: Matrix, moments: Matrix) -> Matrix:
    """Least squares per bar; a trace of ridge keeps collinear columns solvable."""
    k = gram.shape[1]
    ridge = 1e-9 * np.trace(gram, axis1=1, axis2=2) / k + 1e-12
    return np.linalg.solve(gram + ridge[:, None, None] * np.eye(k), moments)


def _pearson(first: Series, second: Series) -> float:
    x, y = first - first.mean(), second - second.mean()
    scale = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / scale if scale > 0 else float("nan")
