"""Candidates: the evidence for each way of training each selected target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from ranking_pipeline.errors import UserError
from ranking_pipeline.evaluation.inference import (
    BlockTest,
    benjamini_hochberg,
    block_test,
)
from ranking_pipeline.routing.config import RoutingConfig
from ranking_pipeline.routing.states import POOLED, SYMBOL, thresholds, with_states
from ranking_pipeline.routing.symbol_scores import SymbolScore, compare_symbols
from ranking_pipeline.selection.consensus import UNKNOWN
from ranking_pipeline.selection.fan_out import Each, in_turn
from ranking_pipeline.selection.leakage import BLOCKED, SAFE, SUSPECT
from ranking_pipeline.selection.out_of_fold import combine, families_for, out_of_fold
from ranking_pipeline.selection.problem import Problem
from ranking_pipeline.selection.training_data import TrainingData

COLUMNS = (
    "target", "mode", "symbol", "metric", "score", "t", "p", "q", "ci_low", "ci_high",
    "delta", "delta_t", "pooled_score", "pooled_t", "n_rows", "n_bars", "stability",
    "leakage_status", "state", "reason",
)  # fmt: skip
NAN = float("nan")


def collect_candidates(
    data: TrainingData,
    targets: Sequence[str],
    features: Mapping[str, Sequence[str]],
    leakage_report: pd.DataFrame,
    feature_stability: pd.DataFrame,
    config: RoutingConfig,
    each: Each | None = None,
) -> pd.DataFrame:
    """Out-of-fold evidence on the pooled model and on each symbol's own.

    Parameters
    ----------
    data : TrainingData
    targets : sequence of str
        The selected targets; may be empty.
    features : mapping of target to list of feature names
    leakage_report, feature_stability : DataFrame
        As feature selection wrote them.
    config : RoutingConfig
    each : callable, optional
        How targets are spread over workers; one after the other by default.

    Returns
    -------
    DataFrame
        Columns as in ``COLUMNS``; one pooled row per target (symbol ""), and one row
        per symbol where symbol routes are on. ``p`` and ``q`` belong to the score of a
        pooled row, and to the paired difference ``delta`` of a symbol row; ``q`` is
        taken over all targets, or over all target x symbol pairs.

    Raises
    ------
    UserError
        When a target has no features, or symbol routes are asked for a universe above
        ``max_symbols_for_symbol_routes``.
    """
    _require_room(data, config)
    empty = [target for target in targets if not features.get(target)]
    if empty:
        raise UserError(
            f"selected_features has nothing for {empty[0]}; run feature_selection."
        )
    evidence = partial(_evidence, features={t: list(features[t]) for t in targets})
    per_target = (each or in_turn(data))(evidence, targets, config)
    rows: list[dict[str, Any]] = []
    for target, found in zip(targets, per_target, strict=True):
        status = leakage_status(leakage_report, target, features[target])
        if found[0]["score"] >= thresholds(found[0], config).suspicious_score:
            status = BLOCKED
        rows += [{**row, "target": target, "leakage_status": status} for row in found]
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    frame = _with_stability(_with_q_values(frame), feature_stability)
    return with_states(frame, config)[list(COLUMNS)]


def _evidence(
    data: TrainingData,
    target: str,
    config: RoutingConfig,
    features: Mapping[str, Sequence[str]],
) -> list[dict[str, Any]]:
    problem = data.problem(target, config).for_models(features[target])
    return _rows_of(problem, data, config)


def leakage_status(report: pd.DataFrame, target: str, features: Sequence[str]) -> str:
    """Worst status that the report has for the features of a target."""
    concerned = (report["target"] == target) & report["feature"].isin(features)
    found = set(report.loc[concerned, "status"])
    return next((status for status in (BLOCKED, SUSPECT) if status in found), SAFE)


def symbol_routes_possible(n_symbols: int, config: RoutingConfig) -> bool:
    """Whether symbols are compared one by one in this universe."""
    small = n_symbols <= config.max_symbols_for_symbol_routes
    return small and config.mode != "cross_sectional"


def _require_room(data: TrainingData, config: RoutingConfig) -> None:
    size, limit = data.panel.n_symbols, config.max_symbols_for_symbol_routes
    if config.mode == "symbol_specific" and size > limit:
        raise UserError(
            f"routing.mode is symbol_specific but the universe has {size} symbols and "
            f"routing.max_symbols_for_symbol_routes is {limit}; raise it or use auto."
        )


def _rows_of(
    problem: Problem, data: TrainingData, config: RoutingConfig
) -> list[dict[str, Any]]:
    folds = problem.two_sided_folds(config.cv_folds)
    families = families_for(config, problem.task)
    if not families:
        raise UserError(
            f"routing.model_families: none can learn {problem.target} ({problem.task})"
        )
    scores = out_of_fold(problem, families, config, folds)
    pooled = combine(scores, problem.samples)
    rows = [
        _pooled_row(problem, block_test(problem.measure(pooled), problem.block_bars))
    ]
    if symbol_routes_possible(data.panel.n_symbols, config):
        compared = compare_symbols(problem, pooled, folds, config)
        rows += [_symbol_row(problem, score) for score in compared]
    return rows


def _pooled_row(problem: Problem, test: BlockTest) -> dict[str, Any]:
    return {
        "mode": POOLED,
        "symbol": "",
        "metric": _unit(problem),
        "score": _native(problem, test.mean),
        "t": test.t,
        "p": test.p,
        "ci_low": _native(problem, test.ci_low),
        "ci_high": _native(problem, test.ci_high),
        "n_rows": len(problem.samples),
        "n_bars": test.n_bars,
        "stability": UNKNOWN,
    }


def _symbol_row(problem: Problem, score: SymbolScore) -> dict[str, Any]:
    row: dict[str, Any] = {
        "mode": SYMBOL,
        "symbol": score.symbol,
        "metric": _unit(problem),
        "n_rows": score.n_rows,
        "n_bars": 0,
        "stability": score.stability,
    }
    if score.own is None or score.pooled is None or score.difference is None:
        return row
    regression = problem.task == "regression"
    return {
        **row,
        "score": score.own.mean if regression else score.own_auc,
        "t": score.own.t,
        "p": score.difference.p,
        "ci_low": score.own.ci_low if regression else NAN,
        "ci_high": score.own.ci_high if regression else NAN,
        "delta": score.difference.mean,
        "delta_t": score.difference.t,
        "pooled_score": score.pooled.mean,
        "pooled_t": score.pooled.t,
        "n_bars": score.own.n_bars,
    }


def _unit(problem: Problem) -> str:
    return "rank_ic" if problem.task == "regression" else "auc"


def _native(problem: Problem, skill: float) -> float:
    """Skill per bar in the unit of the thresholds: 2 AUC - 1 becomes an AUC."""
    return skill if problem.task == "regression" else 0.5 + skill / 2


def _with_q_values(frame: pd.DataFrame) -> pd.DataFrame:
    numeric = [c for c in COLUMNS[4:14] if c != "q"]
    frame = frame.astype(dict.fromkeys([*numeric, "q"], "float64"))
    for mode in (POOLED, SYMBOL):
        rows = frame["mode"] == mode
        frame.loc[rows, "q"] = benjamini_hochberg(frame.loc[rows, "p"].to_numpy())
    return frame


def _with_stability(frame: pd.DataFrame, stability: pd.DataFrame) -> pd.DataFrame:
    states = dict(zip(stability["target"], stability["state"], strict=True))
    pooled = frame["mode"] == POOLED
    names = frame.loc[pooled, "target"]
    frame.loc[pooled, "stability"] = [states.get(name, UNKNOWN) for name in names]
    return frame.astype({"n_rows": np.int64, "n_bars": np.int64})
