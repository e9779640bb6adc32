"""Importance rows: the few rows of a problem on which importance is measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ranking_pipeline.models.samples import thin_bars
from ranking_pipeline.selection.config import FeatureSelectionConfig
from ranking_pipeline.selection.problem import Problem, Rows

_SYMBOLS_PER_BAR = 100


@dataclass(frozen=True)
class FoldRows:
    """Positions of the rows of one fold.

    Attributes
    ----------
    train : ndarray of int
        Fitted, at most ``max_train_rows``.
    explained, shuffled : ndarray of int
        Held out, for TreeSHAP and for permutation.
    """

    train: Rows
    explained: Rows
    shuffled: Rows


def sample_folds(
    problem: Problem, names: Sequence[str], config: FeatureSelectionConfig
) -> tuple[Problem, list[FoldRows]]:
    """Cut a problem to the rows on which importance is measured.

    With 500 features a copy of all rows is a third of a gigabyte, and fits look at
    ``max_train_rows`` of them only.

    Parameters
    ----------
    problem : Problem
    names : sequence of str
        Features that may be used.
    config : FeatureSelectionConfig
        The rows that are explained and shuffled are spread over the folds.

    Returns
    -------
    tuple of Problem and list of FoldRows
        The problem as models see it, and each fold's positions in it.
    """
    bars = problem.samples.bars
    folds = problem.folds(config.cv_folds)
    drawn = []
    for train, test in folds:
        explained = -(-config.shap_max_rows // len(folds))
        shuffled = -(-config.permutation_max_rows // len(folds))
        drawn.append(
            FoldRows(
                train[thin_bars(bars[train], config.max_train_rows)],
                spread_rows(bars, test, explained, config.seed),
                spread_rows(bars, test, shuffled, config.seed),
            )
        )
    wanted = np.unique(np.concatenate([row for fold in drawn for row in _all(fold)]))
    small = take_rows(problem, wanted).for_models(names)
    return small, [
        FoldRows(*(np.searchsorted(wanted, rows) for rows in _all(fold)))
        for fold in drawn
    ]


def take_rows(problem: Problem, rows: npt.NDArray[np.integer]) -> Problem:
    """Keep the given rows of a problem (sorted positions)."""
    return replace(
        problem,
        samples=problem.samples.take(rows),
        outcome=problem.outcome[rows],
        ranks=problem.ranks[rows],
        scaled=None if problem.scaled is None else problem.scaled.take(rows),
    )


def spread_rows(bars: Rows, rows: Rows, max_rows: int, seed: int) -> Rows:
    """At most ``max_rows`` of the rows: bars evenly spread, 100 symbols of each.

    Names of one bar share its surprises, so that many bars with some of their names say
    more than a few whole ones.

    Parameters
    ----------
    bars : ndarray of int, shape (n,)
    rows : ndarray of int
        Sorted positions to choose from.
    max_rows : int
    seed : int
        Chooses the symbols of a bar.

    Returns
    -------
    ndarray of int, sorted; at least one bar.
    """
    if len(rows) <= max_rows:
        return rows
    chance = np.random.default_rng([seed, 2]).random(len(rows))
    order = np.lexsort((chance, bars[rows]))
    starts = np.flatnonzero(np.r_[True, np.diff(bars[rows[order]]) > 0])
    place = np.arange(len(rows)) - np.repeat(starts, np.diff(np.r_[starts, len(rows)]))
    kept = np.sort(order[place < _SYMBOLS_PER_BAR])
    chosen = rows[kept]
    return chosen[thin_bars(bars[chosen], max_rows)]


def _all(fold: FoldRows) -> tuple[Rows, Rows, Rows]:
    return fold.train, fold.explained, fold.shuffled
