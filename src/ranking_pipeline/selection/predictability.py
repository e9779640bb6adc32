"""Predictability: which targets can be ranked better than chance, out of fold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ranking_pipeline.errors import UserError
from ranking_pipeline.evaluation.inference import (
    MIN_BLOCKS,
    BlockTest,
    benjamini_hochberg,
)
from ranking_pipeline.selection.config import TargetRankingConfig
from ranking_pipeline.selection.fan_out import Each, in_turn
from ranking_pipeline.selection.target_evidence import (
    Evaluation,
    evaluate_target,
    too_few,
)
from ranking_pipeline.selection.training_data import TrainingData

RANKING_COLUMNS = (
    "rank", "target", "task", "skill", "z", "mean", "t", "p", "q", "n_blocks",
    "block_bars", "n_bars", "n_rows", "reference_mean", "families", "rankable",
    "selected", "reason",
)  # fmt: skip
FAMILY_COLUMNS = ("target", "family", "fold", "metric", "mean", "n_bars")
SKILL_SCALE = 6.0  # z of 6 is a skill of tanh(1) = 0.76


@dataclass(frozen=True)
class TargetRanking:
    """Ranking of all targets and the choice made from it."""

    rankings: pd.DataFrame
    family_scores: pd.DataFrame
    selected: dict[str, Any]


def rank_targets(
    data: TrainingData, config: TargetRankingConfig, each: Each | None = None
) -> TargetRanking:
    """Evaluate, order and select targets inside the train span.

    Parameters
    ----------
    data : TrainingData
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
        When a manual target does not exist or is degenerate, or every target failed.
    """
    targets = data.candidate_targets if config.auto else _manual(data, config)
    evaluations = (each or in_turn(data))(evaluate_or_record, targets, config)
    _require_one_measured(evaluations, config)
    frame = _select(_table(evaluations), config)
    rows = [row for evaluation in evaluations for row in evaluation.family_rows]
    family_scores = pd.DataFrame(rows, columns=list(FAMILY_COLUMNS))
    return TargetRanking(frame, family_scores, _selection(frame))


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


def _manual(data: TrainingData, config: TargetRankingConfig) -> tuple[str, ...]:
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
    return {
        "target": evaluation.target,
        "task": evaluation.task,
        "skill": skill_of(test.z) if evaluation.rankable else nan,
        **{name: getattr(test, name) for name in ("z", "mean", "t", "p")},
        **{name: getattr(test, name) for name in ("n_blocks", "block_bars", "n_bars")},
        "n_rows": evaluation.n_rows,
        "reference_mean": evaluation.reference_mean,
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


def _select(frame: pd.DataFrame, config: TargetRankingConfig) -> pd.DataFrame:
    """Mark the selected targets and say why the others are not."""
    if frame.empty:
        return frame
    if not config.auto:
        note = "named in manual_targets"
        reasons = [
            f"{note}; {reason}" if reason else note for reason in frame["reason"]
        ]
        chosen = frame.assign(selected=True, reason=reasons)
    else:
        passed = frame["rankable"] & (frame["q"] <= config.false_discovery_rate)
        passed &= frame["skill"] >= config.min_predictability_score
        selected = passed & (passed.cumsum() <= config.top_n_targets)
        verdicts = [
            _verdict(row, bool(ok), bool(chosen), config)
            for (_, row), ok, chosen in zip(
                frame.iterrows(), passed, selected, strict=True
            )
        ]
        chosen = frame.assign(selected=selected, reason=verdicts)
    return chosen[list(RANKING_COLUMNS)]


def _verdict(
    row: pd.Series, passed: bool, selected: bool, config: TargetRankingConfig
) -> str:
    if not row["rankable"]:
        return str(row["reason"])
    facts = f"z {row['z']:.2f}, q {row['q']:.3f}"
    if selected:
        text = f"selected: {facts}"
    elif passed:
        text = f"passes ({facts}) but {config.top_n_targets} others rank higher"
    elif not row["q"] <= config.false_discovery_rate:
        text = (
            f"{facts} is above the false discovery rate {config.false_discovery_rate}"
        )
    else:
        text = f"skill {row['skill']:.3f} is below {config.min_predictability_score}"
    return f"{text}; {row['reason']}" if row["reason"] else text


def _selection(frame: pd.DataFrame) -> dict[str, Any]:
    chosen = [] if frame.empty else list(frame.loc[frame["selected"], "target"])
    if chosen:
        reason = f"{len(chosen)} of {len(frame)} targets selected"
        return {"status": "selected", "targets": chosen, "reason": reason}
    ranked = 0 if frame.empty else int(frame["rankable"].sum())
    reason = f"none of {len(frame)} targets ({ranked} rankable) passed the gates"
    return {"status": "nothing_predictable", "targets": [], "reason": reason}
