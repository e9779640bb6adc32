"""Permutation importance: the skill that a model loses when a feature is shuffled."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ranking_pipeline.models.base import BaseModel
from ranking_pipeline.selection.problem import Problem, Rows


def permutation_importance(
    problem: Problem, model: BaseModel, rows: Rows, repeats: int, seed: int
) -> npt.NDArray[np.float64]:
    """Loss of skill when a feature is shuffled among the symbols of each bar.

    In the time-series view it is shuffled among the bars of each symbol. One column of
    one copy of the rows is replaced at a time, so that memory does not grow with the
    number of features.

    Parameters
    ----------
    problem : Problem
    model : BaseModel
        Fitted on rows that exclude ``rows``.
    rows : ndarray of int, shape (k,)
        Held-out rows.
    repeats : int
        Shuffles per feature; their losses are averaged.
    seed : int

    Returns
    -------
    ndarray of float64, shape (F,)
        Mean skill of the model minus that after the shuffle; NaN where the rows cannot
        be measured.

    References
    ----------
    Breiman (2001), section 10; shuffled within bars, since a value of another bar is
    no value that a symbol could have had.
    """
    held_out = problem.samples.take(rows)
    groups = held_out.bars if problem.view == "cross_section" else held_out.symbols
    ordered = np.argsort(groups, kind="stable")
    before = _mean_skill(problem, model.predict(held_out).score, rows)
    altered = replace(held_out, features=held_out.features.copy())
    losses = np.zeros(held_out.features.shape[1])
    for repeat in range(repeats):
        rng = np.random.default_rng([seed, repeat])
        shuffled = np.lexsort((rng.random(len(rows)), groups))
        for column in range(len(losses)):
            altered.features[ordered, column] = held_out.features[shuffled, column]
            score = model.predict(altered).score
            losses[column] += before - _mean_skill(problem, score, rows)
            altered.features[:, column] = held_out.features[:, column]
    return losses / repeats


def _mean_skill(problem: Problem, score: npt.NDArray[np.floating], rows: Rows) -> float:
    skill = problem.measure(score, rows)
    return float(np.nanmean(skill)) if np.isfinite(skill).any() else float("nan")
