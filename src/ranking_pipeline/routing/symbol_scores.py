"""Symbol scores: one model per symbol against the pooled model on the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ranking_pipeline.errors import UserError
from ranking_pipeline.evaluation.inference import BlockTest, block_test
from ranking_pipeline.evaluation.metrics import auc
from ranking_pipeline.models import registry
from ranking_pipeline.models.learning_target import learning_target
from ranking_pipeline.routing.config import RoutingConfig
from ranking_pipeline.routing.two_sided import of_difference, of_two_sided_folds
from ranking_pipeline.selection.out_of_fold import fit_family
from ranking_pipeline.selection.problem import Fold, Problem, Rows
from ranking_pipeline.selection.stability import (
    UNKNOWN,
    stability_of,
    stability_state,
)

Series = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
_FEWEST_TRAIN_ROWS = 50


@dataclass(frozen=True)
class SymbolScore:
    """Evidence on one symbol.

    Attributes
    ----------
    symbol : str
    n_rows : int
        Labelled train rows of the symbol.
    own, pooled, difference : BlockTest or None
        Of the products of standardised score and outcome over time: their mean is the
        correlation of the score with the outcome. ``difference`` is own minus pooled,
        bar by bar. None when the symbol was not measured. ``own`` and ``difference``
        are widened, see :mod:`ranking_pipeline.routing.two_sided`.
    own_auc : float
        AUC over time of the symbol's own score; NaN for returns.
    stability : str
        Agreement of the symbol's models over the folds on what is important; UNKNOWN
        only with fewer than two models. Reported, never a gate.
    jaccard, kendall_tau : float
        What it is read from: mean overlap of the top lists and mean rank correlation
        over pairs of folds.
    """

    symbol: str
    n_rows: int
    own: BlockTest | None = None
    pooled: BlockTest | None = None
    difference: BlockTest | None = None
    own_auc: float = float("nan")
    stability: str = UNKNOWN
    jaccard: float = float("nan")
    kendall_tau: float = float("nan")


def compare_symbols(
    problem: Problem, pooled: Series, folds: Sequence[Fold], config: RoutingConfig
) -> list[SymbolScore]:
    """Fit one model per symbol and compare it with the pooled one, out of fold.

    The outcome of a symbol at a bar is the normal score of its rank in the
    cross-section, whatever the task: this is what a ranking is paid for. Over time,
    where there is no cross-section, it is the normal score of its rank among the bars
    of its symbol. Scores and outcome are standardised over the out-of-fold span of the
    symbol, so that the level of a score plays no part.

    Parameters
    ----------
    problem : Problem
        With the features of the target.
    pooled : ndarray of float64, shape (n,)
        Out-of-fold score of the pooled model, NaN outside the folds.
    folds : sequence of (train rows, test rows)
    config : RoutingConfig

    Returns
    -------
    list of SymbolScore
        One per symbol with train rows, in the order of the symbols. Those with fewer
        than ``min_symbol_rows`` rows are not measured.
    """
    _require_parameters(config)
    outcome = ranked_outcome(problem)
    order = np.argsort(problem.samples.symbols, kind="stable")
    positions, starts = np.unique(problem.samples.symbols[order], return_index=True)
    masks = [(_mask(train, problem), _mask(test, problem)) for train, test in folds]
    scores = []
    for position, rows in zip(positions, np.split(order, starts[1:]), strict=True):
        symbol = problem.samples.panel.symbols[position]
        if len(rows) < config.min_symbol_rows:
            scores.append(SymbolScore(symbol, len(rows)))
            continue
        own, importances = _out_of_fold(problem, rows, masks, config)
        score = _compared(problem, rows, own, pooled[rows], outcome[rows])
        stability = _stability(importances, config.stability_top)
        scores.append(replace(score, symbol=symbol, **stability))
    return scores


def ranked_outcome(problem: Problem) -> Series:
    """Give the normal score of each label's rank within its bar, shape (n,).

    In the time-series view the ranks are within the symbol: heavy tails count as
    little there, and its mean over time is the symbol's own affair.
    """
    samples = problem.samples
    over_time = problem.view == "time_series"
    groups = samples.symbols if over_time else samples.bars
    scores = learning_target(problem.outcome, groups, "regression", "cs_gauss")
    return scores.astype(np.float64)


def paired_products(
    own: Series, pooled: Series, outcome: Series
) -> tuple[Series, Series] | None:
    """Products with the outcome, all three standardised where all are known.

    Parameters
    ----------
    own, pooled, outcome : ndarray, shape (k,)
        Over time, of one symbol.

    Returns
    -------
    (own, pooled) : ndarray of float64, shape (k,) each, or None
        NaN where one is missing; their means are correlations. None when something
        does not vary.
    """
    known = np.isfinite(own) & np.isfinite(pooled) & np.isfinite(outcome)
    if known.sum() < 2:
        return None
    standard = []
    for values in (own, pooled, outcome):
        spread = values[known].std()
        # a constant score differs from its own mean by rounding only
        if not spread > 1e-9 * np.abs(values[known]).max():
            return None
        standard.append(
            np.where(known, (values - values[known].mean()) / spread, np.nan)
        )
    return standard[0] * standard[2], standard[1] * standard[2]


def _compared(
    problem: Problem, rows: Rows, own: Series, pooled: Series, outcome: Series
) -> SymbolScore:
    products = paired_products(own, pooled, outcome)
    if products is None:
        return SymbolScore("", len(rows))
    n_bars, block_bars = problem.samples.shape[0], problem.block_bars
    on_axis = np.full((3, n_bars), np.nan)
    bars = problem.samples.bars[rows]
    on_axis[:, bars] = (*products, products[0] - products[1])
    tests = [block_test(series, block_bars) for series in on_axis]
    tests[2] = of_difference(tests[2], tests[0])
    tests[0] = of_two_sided_folds(tests[0])
    own_auc = _auc(own, problem.outcome[rows], problem.task)
    return SymbolScore("", len(rows), tests[0], tests[1], tests[2], own_auc)


def _out_of_fold(
    problem: Problem,
    rows: Rows,
    folds: Sequence[tuple[Mask, Mask]],
    config: RoutingConfig,
) -> tuple[Series, list[Series]]:
    """Out-of-fold score of one symbol's rows, and the importances of its models."""
    score = np.full(len(rows), np.nan)
    importances = []
    family = registry.canonical(config.symbol_family)
    for train, test in folds:
        fitted, tested = rows[train[rows]], test[rows]
        labels = problem.samples.target[fitted]
        if len(fitted) < _FEWEST_TRAIN_ROWS or not np.ptp(labels) or not tested.any():
            continue
        model = fit_family(problem.samples.take(fitted), family, config)
        score[tested] = model.predict(problem.samples.take(rows[tested])).score
        importance = model.importance()
        if importance is not None:
            importances.append(np.asarray(importance, dtype=np.float64))
    return score, importances


def _mask(rows: Rows, problem: Problem) -> Mask:
    mask = np.zeros(len(problem.samples), dtype=bool)
    mask[rows] = True
    return mask


def _stability(importances: Sequence[Series], top: int) -> dict[str, Any]:
    if len(importances) < 2:
        return {"stability": UNKNOWN}
    n_features = len(importances[0])
    fits = [{"own": importance} for importance in importances]
    found = stability_of(fits, range(n_features), top)
    tau = found.kendall_tau if n_features > 1 else 1.0  # one feature has one order
    return {
        "stability": stability_state(found.jaccard, tau),
        "jaccard": found.jaccard,
        "kendall_tau": tau,
    }


def _auc(score: Series, label: Series, task: str) -> float:
    """AUC of +1 against the opposed class over time; NaN for returns."""
    if task == "regression":
        return float("nan")
    negative = -1 if task == "three_class" else 0
    return float(auc(score[None], label[None], 1, negative)[0])


def _require_parameters(config: RoutingConfig) -> None:
    family = registry.canonical(config.symbol_family)
    if registry.block_of(config.family_parameters, family) is None:
        raise UserError(
            f"routing.family_parameters has no block for {family}, which is "
            "routing.symbol_family; add one."
        )
