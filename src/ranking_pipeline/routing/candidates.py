"""Candidates: the evidence for each way of training each selected target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ranking_pipeline.errors import UserError
from ranking_pipeline.evaluation.inference import benjamini_hochberg
from ranking_pipeline.routing.candidate_rows import Rows, evidence_rows
from ranking_pipeline.routing.config import RoutingConfig
from ranking_pipeline.routing.states import (
    POOLED,
    SYMBOL,
    records,
    thresholds,
    with_states,
)
from ranking_pipeline.selection.consensus import UNKNOWN
from ranking_pipeline.selection.fan_out import Each, in_turn
from ranking_pipeline.selection.leakage import BLOCKED, SAFE, SUSPECT
from ranking_pipeline.selection.training_data import TrainingData
from ranking_pipeline.storage import sha256_json

if TYPE_CHECKING:
    from ranking_pipeline.selection.fan_out import LazyData

_NUMBERS = (
    "score", "t", "p", "q", "ci_low", "ci_high", "own_p", "own_q", "expected_score",
    "delta", "delta_t", "expected_gain", "pooled_score", "pooled_t", "misleads_p",
    "misleads_q", "slope", "slope_spread", "jaccard", "kendall_tau",
)  # fmt: skip
_COUNTS = ("n_rows", "n_bars", "n_symbols")
COLUMNS = (
    "target", "view", "mode", "symbol", "task", "metric", "score", "t", "p", "q",
    "ci_low", "ci_high", "own_p", "own_q", "expected_score", "compared_with", "delta",
    "delta_t", "expected_gain", "pooled_score", "pooled_t", "misleads_p",
    "misleads_q", "slope", "slope_spread", "n_rows", "n_bars", "n_symbols",
    "feature_set_id", "failed_model_families", "model_status", "stability", "jaccard",
    "kendall_tau", "leakage_status", "state", "rule", "reason",
)  # fmt: skip


def collect_candidates(
    data: TrainingData | LazyData,
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
    data : TrainingData or LazyData
        Only its number of symbols is looked at here; the rest by the evidence.
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
        Columns as in ``COLUMNS``, NaN where one does not apply:

        * mode ``cross_sectional``: one row per target (symbol ""), for the pooled
          model; ``p`` and ``q`` belong to its score, ``q`` over all targets.
        * mode ``symbol_specific``: one row per symbol where symbol routes are on.
          ``p`` and ``q`` belong to the paired difference ``delta`` from the pooled
          model, ``own_p`` and ``own_q`` to the score itself, ``misleads_p`` and
          ``misleads_q`` to a pooled score below zero there, every ``q`` over all target
          x symbol pairs. ``expected_score`` and ``expected_gain`` are the score
          (a correlation) and the difference in the light of all symbols.
        * mode ``partial_pooling``: where it was compared, one row with symbol ""
          (``delta`` over the pooled score, mean ``slope`` and its ``slope_spread``),
          and one per symbol with its ``slope``. Reported; it decides nothing.

        Classes are scored as AUC, from 0 to 1, returns as a correlation.

    Raises
    ------
    UserError
        When a target has no features, or symbol routes are asked for a universe above
        ``max_symbols_for_symbol_routes``.
    """
    _require_room(data.n_symbols, config)
    empty = [target for target in targets if not features.get(target)]
    if empty:
        raise UserError(
            f"selected_features has nothing for {empty[0]}; run feature_selection."
        )
    evidence = partial(_evidence, features={t: list(features[t]) for t in targets})
    per_target = (each or in_turn(data))(evidence, targets, config)
    rows: Rows = []
    for target, found in zip(targets, per_target, strict=True):
        status = leakage_status(leakage_report, target, features[target])
        if found[0]["score"] >= thresholds(found[0], config).suspicious_score:
            status = BLOCKED
        shared = {
            "target": target,
            "leakage_status": status,
            "feature_set_id": feature_set_id(features[target]),
        }
        rows += [{**row, **shared} for row in found]
    frame = _with_q_values(_table(rows))
    return with_states(_with_stability(frame, feature_stability), config)[list(COLUMNS)]


def feature_set_id(names: Sequence[str]) -> str:
    """First 12 digits of the SHA-256 of the names in their order."""
    return sha256_json(list(names))[:12]


def leakage_status(report: pd.DataFrame, target: str, features: Sequence[str]) -> str:
    """Worst status that the report has for the features of a target."""
    concerned = (report["target"] == target) & report["feature"].isin(features)
    found = set(report.loc[concerned, "status"])
    return next((status for status in (BLOCKED, SUSPECT) if status in found), SAFE)


def _evidence(
    data: TrainingData,
    target: str,
    config: RoutingConfig,
    features: Mapping[str, Sequence[str]],
) -> Rows:
    problem = data.problem(target, config).for_models(features[target])
    return evidence_rows(problem, data.n_symbols, config)


def _require_room(size: int, config: RoutingConfig) -> None:
    limit = config.max_symbols_for_symbol_routes
    if config.mode == "symbol_specific" and size > limit:
        raise UserError(
            f"routing.mode is symbol_specific but the universe has {size} symbols and "
            f"routing.max_symbols_for_symbol_routes is {limit}; raise it or use auto."
        )


def _table(rows: Rows) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    types = dict.fromkeys(_NUMBERS, "float64") | dict.fromkeys(_COUNTS, np.int64)
    words = [name for name in COLUMNS if name not in types]
    frame[words] = frame[words].astype(object).where(frame[words].notna(), "")
    return frame.astype(types)


def _with_q_values(frame: pd.DataFrame) -> pd.DataFrame:
    for mode, p, q in (
        (POOLED, "p", "q"),
        (SYMBOL, "p", "q"),
        (SYMBOL, "own_p", "own_q"),
        (SYMBOL, "misleads_p", "misleads_q"),
    ):
        rows = frame["mode"] == mode
        frame.loc[rows, q] = benjamini_hochberg(frame.loc[rows, p].to_numpy())
    return frame


def _with_stability(frame: pd.DataFrame, stability: pd.DataFrame) -> pd.DataFrame:
    found = {str(row["target"]): row for row in records(stability)}
    for index in frame.index[frame["mode"] == POOLED]:
        row = found.get(str(frame.at[index, "target"]), {})
        frame.at[index, "stability"] = row.get("state", UNKNOWN)
        for name in ("jaccard", "kendall_tau"):
            frame.at[index, name] = row.get(name, np.nan)
    return frame
