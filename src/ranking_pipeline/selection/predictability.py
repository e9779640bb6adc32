"""Predictability: which targets can be ranked better than chance, out of fold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd

from ranking_pipeline.errors import UserError
from ranking_pipeline.evaluation.inference import (
    MIN_BLOCKS,
    BlockTest,
    benjamini_hochberg,
)
from ranking_pipeline.models import registry
from ranking_pipeline.selection.config import TargetRankingConfig
from ranking_pipeline.selection.fan_out import Each, in_turn
from ranking_pipeline.selection.out_of_fold import configured_families
from ranking_pipeline.selection.rankings_document import recommendation
from ranking_pipeline.selection.target_evidence import (
    Evaluation,
    evaluate_target,
    too_few,
)
from ranking_pipeline.selection.target_gate import select, selection
from ranking_pipeline.selection.training_data import TrainingData

RANKING_COLUMNS = (
    "rank", "target", "task", "metric", "view", "skill", "recommendation", "z", "mean",
    "standard_error", "t", "p", "q", "consistency", "n_blocks", "block_bars", "n_bars",
    "n_rows", "reference_mean", "n_models", "families", "n_left_out", "rankable",
    "selected", "reason",
)  # fmt: skip
FAMILY_COLUMNS = ("target", "family", "fold", "metric", "mean", "n_bars")
IMPORTANCE_COLUMNS = ("target", "family", "feature", "importance")
_TESTED = (
    "z", "mean", "standard_error", "t", "p", "n_blocks", "block_bars", "n_bars",
)  # fmt: skip
SKILL_SCALE = 6.0  # z of 6 is a skill of tanh(1) = 0.76


class Discovered(Protocol):
    """What the parent asks of the data before any target is evaluated."""

    @property
    def candidate_targets(self) -> tuple[str, ...]:
        """Targets that can be selected."""


@dataclass(frozen=True)
class TargetRanking:
    """Ranking of all targets and the choice made from it.

    Attributes
    ----------
    rankings : DataFrame
        One row per target, best first; columns as in ``RANKING_COLUMNS``.
    family_scores : DataFrame
        One row per target, family and fold; columns as in ``FAMILY_COLUMNS``.
    selected : dict
        ``status``, ``targets`` in the order of the ranking, and ``reason``.
    feature_importances : DataFrame
        Native importance in the models of the folds, a share of 1, most important
        first; columns as in ``IMPORTANCE_COLUMNS``. A family that has none is absent.
    """

    rankings: pd.DataFrame
    family_scores: pd.DataFrame
    selected: dict[str, Any]
    feature_importances: pd.DataFrame


def rank_targets(
    data: Discovered, config: TargetRankingConfig, each: Each | None = None
) -> TargetRanking:
    """Evaluate, order and select targets inside the train span.

    Parameters
    ----------
    data : TrainingData or what stands for it
        Only the names of the targets are asked of it where ``each`` is given.
    config : TargetRankingConfig
    each : callable, optional
        How targets are spread over workers; one after the other by default.

    Returns
    -------
    TargetRanking
        Ordered by z, not clipped; targets that are not rankable come last. A selection
        without any target is a finished result with status ``nothing_predictable``.

    Raises
    ------
    UserError
        When a manual target does not exist or is degenerate, every target failed, or a
        family is unknown, has no parameters or learns from windows of bars.
    """
    _require_families(config)
    targets = data.candidate_targets if config.auto else _manual(data, config)
    evaluations = (each or _in_turn(data))(evaluate_or_record, targets, config)
    _require_one_measured(evaluations, config)
    frame = select(_table(evaluations), config)[list(RANKING_COLUMNS)]
    rows = [row for evaluation in evaluations for row in evaluation.family_rows]
    family_scores = pd.DataFrame(rows, columns=list(FAMILY_COLUMNS))
    return TargetRanking(
        frame, family_scores, selection(frame), _importances(evaluations)
    )


def skill_of(z: float) -> float:
    """Skill on the scale 0 (no better than chance) to 1: ``max(0, tanh(z / 6))``."""
    return max(0.0, float(np.tanh(z / SKILL_SCALE)))


def evaluate_or_record(
    data: TrainingData, target: str, config: TargetRankingConfig
) -> Evaluation:
    """:func:`evaluate_target`, a failure being a recorded reason unless strict."""
    try:
        return evaluate_target(data, target, config)
    except UserError:
        raise
    except Exception as error:
        if config.strict:
            raise
        task = str(data.describe(target)["task"])
        reason = f"failed: {type(error).__name__}: {error}"
        return Evaluation(target, task, reason=reason)


def _in_turn(data: Discovered) -> Each:
    if not isinstance(data, TrainingData):
        raise TypeError("each must say how to load the tables, which are not in data")
    return in_turn(data)


def _require_families(config: TargetRankingConfig) -> None:
    """Refuse families by which no target can be ranked, before any is evaluated."""
    names = configured_families(config)
    windowed = [name for name in names if registry.listing(name).sequence]
    if windowed:
        raise UserError(
            f"target_ranking.model_families: {', '.join(windowed)} learn from windows "
            "of bars and not from the features that are screened for leaks; use "
            "families of features, such as lightgbm or mlp."
        )


def _importances(evaluations: Sequence[Evaluation]) -> pd.DataFrame:
    rows = [row for evaluation in evaluations for row in evaluation.importance_rows]
    frame = pd.DataFrame(rows, columns=list(IMPORTANCE_COLUMNS))
    frame["descending"] = -frame["importance"].astype(np.float64)
    order = ["target", "family", "descending", "feature"]
    frame = frame.sort_values(order, kind="stable").reset_index(drop=True)
    return frame.drop(columns="descending")


def _manual(data: Discovered, config: TargetRankingConfig) -> tuple[str, ...]:
    if not config.manual_targets:
        raise UserError(
            "target_ranking.auto is false but target_ranking.manual_targets is empty; "
            "name at least one target."
        )
    unknown = sorted(set(config.manual_targets) - set(data.candidate_targets))
    if unknown:
        raise UserError(
            f"target_ranking.manual_targets: {', '.join(unknown)} do not exist. "
            f"Available: {', '.join(data.candidate_targets)}"
        )
    return tuple(dict.fromkeys(config.manual_targets))


def _require_one_measured(
    evaluations: Sequence[Evaluation], config: TargetRankingConfig
) -> None:
    failed = [e for e in evaluations if e.reason.startswith("failed: ")]
    if evaluations and len(failed) == len(evaluations):
        reasons = "; ".join(f"{e.target}: {e.reason}" for e in failed)
        raise UserError(f"every target failed to be ranked. {reasons}")
    refused = [e for e in evaluations if e.test is None]
    if not config.auto and refused:
        reasons = "; ".join(f"{e.target}: {e.reason}" for e in refused)
        raise UserError(f"target_ranking.manual_targets cannot be used. {reasons}")


def _table(evaluations: Sequence[Evaluation]) -> pd.DataFrame:
    """All targets, best z first; those without a test at the end by name."""
    frame = pd.DataFrame([_row(evaluation) for evaluation in evaluations])
    if frame.empty:
        return pd.DataFrame(columns=list(RANKING_COLUMNS))
    frame["q"] = benjamini_hochberg(frame["p"].to_numpy(dtype=np.float64))
    order = frame.assign(unranked=~frame["rankable"], descending=-frame["z"])
    order = order.sort_values(["unranked", "descending", "target"], kind="stable")
    frame = frame.loc[order.index].reset_index(drop=True)
    frame.insert(0, "rank", np.arange(1, len(frame) + 1))
    return frame


def _row(evaluation: Evaluation) -> dict[str, Any]:
    nan = float("nan")
    test = evaluation.test or BlockTest(nan, nan, nan, nan, 0, 0, 0, nan, nan)
    skill = skill_of(test.z) if evaluation.rankable else nan
    own = ("target", "task", "metric", "view", "consistency", "n_rows", "n_left_out")
    return {
        **{name: getattr(evaluation, name) for name in (*own, "reference_mean")},
        **{name: getattr(test, name) for name in _TESTED},
        "skill": skill,
        "recommendation": recommendation(skill),
        "n_models": len(evaluation.families),
        "families": ",".join(evaluation.families),
        "rankable": evaluation.rankable,
        "reason": _why_unranked(evaluation),
    }


def _why_unranked(evaluation: Evaluation) -> str:
    test = evaluation.test
    if evaluation.rankable or test is None:
        return evaluation.reason
    if not test.n_bars:
        return "no bar could be measured: too few symbols, or no volatility reference"
    if test.n_blocks < MIN_BLOCKS:
        return too_few(test.n_blocks, test.block_bars)
    return "the skill does not vary, so that it cannot be tested"
