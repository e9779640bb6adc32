"""Candidate rows: one target's evidence on its pooled model and on each symbol's own."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ranking_pipeline.errors import UserError
from ranking_pipeline.evaluation.inference import BlockTest, block_test
from ranking_pipeline.routing.config import RoutingConfig
from ranking_pipeline.routing.expected_gain import expected_values
from ranking_pipeline.routing.states import (
    AGAINST_NOTHING,
    AGAINST_POOLED,
    DISALLOWED,
    PARTIAL,
    POOLED,
    SYMBOL,
    judge,
)
from ranking_pipeline.routing.symbol_scores import SymbolScore, compare_symbols
from ranking_pipeline.routing.two_sided import mirrored_share, of_two_sided_folds
from ranking_pipeline.selection.consensus import UNKNOWN
from ranking_pipeline.selection.leakage import SAFE
from ranking_pipeline.selection.out_of_fold import combine, families_for, out_of_fold
from ranking_pipeline.selection.problem import Fold, Problem

Rows = list[dict[str, Any]]
Series = npt.NDArray[np.float64]
NAN = float("nan")
MEASURED, NOT_MEASURED = "measured", "not_measured"
log = logging.getLogger(__name__)


def evidence_rows(problem: Problem, n_symbols: int, config: RoutingConfig) -> Rows:
    """Collect the rows of one target: pooled, symbols, partial pooling.

    Parameters
    ----------
    problem : Problem
        With the features of the target.
    n_symbols : int
        Of the universe.
    config : RoutingConfig

    Raises
    ------
    UserError
        When no family can learn the target, or every family fails.
    """
    folds = problem.two_sided_folds(config.cv_folds)
    scores, failed = _scores(problem, folds, config)
    pooled = combine(scores, problem)
    shared = {
        "view": problem.view,
        "task": problem.task,
        "metric": _unit(problem),
        "failed_model_families": ";".join(failed),
    }
    mirrored = mirrored_share(problem.samples.bars, folds, config.max_train_rows)
    plain = block_test(problem.measure(pooled), problem.block_bars)
    test = of_two_sided_folds(plain, mirrored)
    rows = [_pooled_row(problem, test, n_symbols)]
    if symbol_routes_possible(n_symbols, config):
        trained = _is_trained({**shared, **rows[0]}, config)
        compared = compare_symbols(problem, pooled, folds, config)
        rows += _symbol_rows(problem, compared, trained)
    if problem.view == "cross_section" and config.mode == "auto":
        rows += _partial_rows(problem, pooled, folds, mirrored)
    return [{**shared, **row} for row in rows]


def symbol_routes_possible(n_symbols: int, config: RoutingConfig) -> bool:
    """Whether symbols are compared one by one in this universe."""
    small = n_symbols <= config.max_symbols_for_symbol_routes
    return small and config.mode != "cross_sectional"


def _scores(
    problem: Problem, folds: Sequence[Fold], config: RoutingConfig
) -> tuple[dict[str, Series], list[str]]:
    """Out-of-fold scores of the families that could be fitted, and the others."""
    families = families_for(config, problem.task)
    if not families:
        raise UserError(
            f"routing.model_families: none can learn {problem.target} ({problem.task})"
        )
    scores: dict[str, Series] = {}
    failed: dict[str, str] = {}
    for family in families:
        try:
            scores |= out_of_fold(problem, [family], config, folds)
        except Exception as error:  # noqa: BLE001 - any library may refuse; told
            failed[family] = f"{type(error).__name__}: {error}"
            log.warning("%s: %s failed: %s", problem.target, family, failed[family])
    if not scores:
        told = "; ".join(f"{name}: {words}" for name, words in failed.items())
        raise UserError(
            f"routing.model_families: every family failed on {problem.target} ({told}); "
            "change their family_parameters or the families."
        )
    return scores, list(failed)


def _is_trained(row: dict[str, Any], config: RoutingConfig) -> bool:
    """Whether a symbol without a model of its own gets a pooled one."""
    return judge({**row, "leakage_status": SAFE}, config).state != DISALLOWED


def _pooled_row(problem: Problem, test: BlockTest, n_symbols: int) -> dict[str, Any]:
    return {
        "mode": POOLED,
        "symbol": "",
        "score": _native(problem, test.mean),
        "t": test.t,
        "p": test.p,
        "ci_low": _native(problem, test.ci_low),
        "ci_high": _native(problem, test.ci_high),
        "n_rows": len(problem.samples),
        "n_bars": test.n_bars,
        "n_symbols": n_symbols,
        "model_status": MEASURED if np.isfinite(test.t) else NOT_MEASURED,
        "stability": UNKNOWN,
    }


def _symbol_rows(
    problem: Problem, compared: Sequence[SymbolScore], trained: bool
) -> Rows:
    own = _expected([score.own for score in compared])
    gain = _expected([score.difference for score in compared])
    against = AGAINST_POOLED if trained else AGAINST_NOTHING
    return [
        {
            **_symbol_row(problem, score),
            "expected_score": float(own[place]),
            "expected_gain": float(gain[place]),
            "compared_with": against,
        }
        for place, score in enumerate(compared)
    ]


def _expected(tests: Sequence[BlockTest | None]) -> Series:
    estimates = [NAN if test is None else test.mean for test in tests]
    errors = [NAN if test is None else test.standard_error for test in tests]
    return expected_values(np.array(estimates, float), np.array(errors, float))


def _symbol_row(problem: Problem, score: SymbolScore) -> dict[str, Any]:
    row: dict[str, Any] = {
        "mode": SYMBOL,
        "symbol": score.symbol,
        "n_rows": score.n_rows,
        "n_bars": 0,
        "n_symbols": 1,
        "model_status": NOT_MEASURED,
        "stability": score.stability,
        "jaccard": score.jaccard,
        "kendall_tau": score.kendall_tau,
    }
    if score.own is None or score.pooled is None or score.difference is None:
        return row
    regression = problem.task == "regression"
    return {
        **row,
        "model_status": MEASURED,
        "score": score.own.mean if regression else score.own_auc,
        "t": score.own.t,
        "p": score.difference.p,
        "own_p": score.own.p,
        "ci_low": score.own.ci_low if regression else NAN,
        "ci_high": score.own.ci_high if regression else NAN,
        "delta": score.difference.mean,
        "delta_t": score.difference.t,
        "pooled_score": score.pooled.mean,
        "pooled_t": score.pooled.t,
        "misleads_p": 1.0 - score.pooled.p,
        "n_bars": score.own.n_bars,
    }


def _partial_rows(
    problem: Problem, pooled: Series, folds: Sequence[Fold], mirrored: float
) -> Rows:
    from ranking_pipeline.routing.partial_pooling import partial_pooling

    found = partial_pooling(problem, pooled, folds)
    own = of_two_sided_folds(found.own, mirrored)
    alone = of_two_sided_folds(found.pooled, mirrored)
    counts = {"n_rows": len(problem.samples), "model_status": MEASURED}
    summary: dict[str, Any] = {
        "mode": PARTIAL,
        "symbol": "",
        "score": _native(problem, own.mean),
        "t": own.t,
        "own_p": own.p,
        "p": found.difference.p,
        "ci_low": _native(problem, own.ci_low),
        "ci_high": _native(problem, own.ci_high),
        "compared_with": AGAINST_POOLED,
        "delta": found.difference.mean,
        "delta_t": found.difference.t,
        "pooled_score": _native(problem, alone.mean),
        "pooled_t": alone.t,
        "slope": found.slopes.mean,
        "slope_spread": found.slopes.tau,
        "n_bars": own.n_bars,
        "n_symbols": len(found.slopes.symbols),
        "reason": found.reason,
    }
    single = {"mode": PARTIAL, "n_bars": 0, "n_symbols": 1}
    slopes = found.slopes.by_symbol.items()
    return [{**summary, **counts}] + [
        {**single, **counts, "n_rows": 0, "symbol": name, "slope": slope}
        for name, slope in slopes
    ]


def _unit(problem: Problem) -> str:
    over_time = "time_series_" if problem.view == "time_series" else ""
    if problem.task != "regression":
        return f"{over_time}auc"
    return f"{over_time}ic" if over_time else "rank_ic"


def _native(problem: Problem, skill: float) -> float:
    """Skill per bar in the unit of the thresholds: 2 AUC - 1 becomes an AUC."""
    return skill if problem.task == "regression" else 0.5 + skill / 2
