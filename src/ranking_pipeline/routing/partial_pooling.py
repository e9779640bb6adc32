"""Partial pooling: the pooled score times a slope of each symbol, shrunk to the mean.

Slopes belong to the model whose out-of-fold scores they come from. On simulated bars
with 8 of 96 symbols reversed they lift the test rank IC of the pooled model from .058 to
.081 (7 seeds). Where a third of 500 symbols is reversed and a third has no signal, they
gain .010 (t 6) on the out-of-fold scores of a small model and lose .015 on a larger one,
which has learned by itself which symbols are which: the row has to earn its place on
later bars, as every other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ranking_pipeline.evaluation.inference import BlockTest, block_test
from ranking_pipeline.models.learning_target import learning_target
from ranking_pipeline.models.shrinkage import shrink
from ranking_pipeline.models.symbol_slopes import symbol_slopes
from ranking_pipeline.selection.problem import Fold, Problem

Series = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Slopes:
    """What one unit of the pooled score is worth, symbol by symbol.

    Attributes
    ----------
    symbols : tuple of str, length S
        All symbols of the panel.
    slopes : ndarray of float64, shape (S,)
        Shrunk; ``mean`` where a symbol was not measured. In normal scores of the
        outcome per normal score of the pooled score.
    raw, errors : ndarray of float64, shape (S,)
        Least squares estimates and their standard errors; NaN where not measured.
    mean, tau : float
        Of the distribution of the slopes over symbols. With tau = 0 one slope serves
        all, and the pooled score is enough.
    """

    symbols: tuple[str, ...]
    slopes: Series
    raw: Series
    errors: Series
    mean: float
    tau: float

    @cached_property
    def by_symbol(self) -> dict[str, float]:
        """Shrunk slope of each symbol."""
        return dict(zip(self.symbols, self.slopes.tolist(), strict=True))


@dataclass(frozen=True)
class PartialPooling:
    """Slopes, and whether they beat the pooled score out of fold.

    Attributes
    ----------
    slopes : Slopes
        From all rows, for use after training.
    score : ndarray of float64, shape (n,)
        Cross-fitted: the slopes that meet the test rows of a fold were estimated on
        the train rows of that fold. NaN on rows that no fold tests.
    own, pooled, difference : BlockTest
        Skill per bar of slope x score, of the score on the same rows, and the first
        minus the second.
    reason : str
        Finding in words.
    """

    slopes: Slopes
    score: Series
    own: BlockTest
    pooled: BlockTest
    difference: BlockTest
    reason: str


def partial_pooling(
    problem: Problem, pooled: npt.NDArray[np.floating], folds: Sequence[Fold]
) -> PartialPooling:
    """Estimate the slopes, and test each on rows from which it was not estimated.

    Parameters
    ----------
    problem : Problem
        In cross-sections: ranks within a bar are needed.
    pooled : ndarray, shape (n,)
        Out-of-fold score of the pooled model, NaN outside the folds.
    folds : sequence of (train rows, test rows)
        Those from which ``pooled`` comes; their train rows are purged. A fold none of
        whose train rows has a score (the first of expanding folds) is not compared.

    Returns
    -------
    PartialPooling

    Notes
    -----
    For each fold, slopes are estimated from outcome and pooled score of its train rows
    and applied to the pooled score of its test rows. No outcome of a test row enters
    its slope directly. It enters indirectly where folds train on both sides: the pooled
    score of a train row is out of fold for that row, but its model was fitted to other
    folds, this fold's test rows among them. Models without it would need a fit for
    every pair of folds.
    """
    score = np.full(len(problem.samples), np.nan)
    for train, test in folds:
        seen = np.full(len(score), np.nan)
        seen[train] = pooled[train]
        if np.isfinite(seen).any():
            slope = shrunk_slopes(problem, seen).slopes[problem.samples.symbols[test]]
            score[test] = apply_slopes(pooled[test], problem.samples.bars[test], slope)
    own = problem.measure(score)
    alone = problem.measure(np.where(np.isfinite(score), pooled, np.nan))
    length = problem.block_bars
    difference = block_test(own - alone, length)
    slopes = shrunk_slopes(problem, pooled)
    return PartialPooling(
        slopes,
        score,
        block_test(own, length),
        block_test(alone, length),
        difference,
        _finding(slopes, difference),
    )


def shrunk_slopes(problem: Problem, pooled: npt.NDArray[np.floating]) -> Slopes:
    """Slope of each symbol's outcome on the pooled score, drawn to the mean slope.

    Outcome and score are normal scores of their ranks within the bar. A slope goes
    through the origin, for a score of 0 is no opinion; its error allows for labels that
    overlap. Where slopes cannot be told apart, the common one is taken as positive: what
    is the same for all symbols is no reason to turn a ranking round.

    Parameters
    ----------
    problem : Problem
    pooled : ndarray, shape (n,)
        Out-of-fold score; rows without one are left out.

    Returns
    -------
    Slopes

    References
    ----------
    Efron and Morris (1975), Morris (1983): see :mod:`ranking_pipeline.models.shrinkage`
    and, for the errors, :mod:`ranking_pipeline.models.symbol_slopes`.
    """
    samples = problem.samples
    x = standardised(pooled, samples.bars)
    y = standardised(np.where(np.isfinite(x), problem.outcome, np.nan), samples.bars)
    known = np.isfinite(x) & np.isfinite(y)
    blocks = (samples.bars - samples.bars.min(initial=0)) // problem.block_bars
    raw, errors = symbol_slopes(
        x[known], y[known], samples.symbols[known], blocks[known], samples.shape[1]
    )
    shrunk = shrink(raw, errors)
    names = samples.panel.symbols
    if shrunk.tau > 0:
        return Slopes(names, shrunk.values, raw, errors, shrunk.mean, shrunk.tau)
    common = abs(shrunk.mean) or 1.0
    return Slopes(names, np.full(len(names), common), raw, errors, common, 0.0)


def apply_slopes(
    score: npt.NDArray[np.floating],
    bars: npt.NDArray[np.integer],
    slopes: npt.NDArray[np.floating],
) -> Series:
    """Slope times the normal score of the pooled score's rank within the bar.

    Parameters
    ----------
    score : ndarray, shape (n,)
        Pooled scores of whole cross-sections; NaN where there is none.
    bars : ndarray of int, shape (n,)
        Bar of each row, in any order.
    slopes : ndarray, shape (n,)
        Of the symbol of each row; see :func:`slopes_of`.

    Returns
    -------
    ndarray of float64, shape (n,)
        NaN where ``score`` is. The same positive slope everywhere ranks as ``score``.
    """
    return np.asarray(slopes * standardised(score, bars), dtype=np.float64)


def slopes_of(entry: Mapping[str, Any], symbols: Sequence[str]) -> Series:
    """Slope of each named symbol from the routing plan; the mean for unknown ones.

    Parameters
    ----------
    entry : mapping
        ``partial_pooling`` of a target: ``mean``, and ``slopes`` by symbol.
    symbols : sequence of str, length n

    Returns
    -------
    ndarray of float64, shape (n,)
    """
    known = entry["slopes"]
    return np.array([known.get(name, entry["mean"]) for name in symbols], np.float64)


def standardised(
    values: npt.NDArray[np.floating], bars: npt.NDArray[np.integer]
) -> Series:
    """Normal score of each value's rank within its bar; NaN stays NaN."""
    scores = learning_target(values, bars, "regression", "cs_gauss")
    return scores.astype(np.float64)


def _finding(slopes: Slopes, difference: BlockTest) -> str:
    if slopes.tau == 0:
        return "slopes differ by no more than their errors: the pooled score is enough"
    low, high = slopes.slopes.min(), slopes.slopes.max()
    return (
        f"slopes {slopes.mean:.3f} ± {slopes.tau:.3f} over symbols, shrunk to "
        f"{low:.3f} … {high:.3f}; out of fold {difference.mean:+.4f} against the pooled "
        f"score (t {difference.t:.1f})"
    )
