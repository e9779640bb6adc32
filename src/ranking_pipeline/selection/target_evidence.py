"""Target evidence: how well one target can be ranked out of fold, and its test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ranking_pipeline.errors import UserError
from ranking_pipeline.evaluation.inference import (
    MIN_BLOCKS,
    BlockTest,
    block_means,
    block_test,
)
from ranking_pipeline.labels import degenerate_reason
from ranking_pipeline.selection.config import TargetRankingConfig
from ranking_pipeline.selection.leakage import screen_features, usable_features
from ranking_pipeline.selection.out_of_fold import (
    CrossFit,
    combine,
    cross_fit,
    families_for,
    out_of_fold,
)
from ranking_pipeline.selection.problem import Fold, Problem
from ranking_pipeline.selection.training_data import TrainingData

Series = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Evaluation:
    """Out-of-fold evidence on one target.

    Attributes
    ----------
    target, task : str
    metric, view : str
        As in :class:`Problem`.
    test : BlockTest or None
        Of the skill per bar (minus that of the reference where there is one); None when
        the target was not measured.
    reference_mean : float
        Mean skill of the volatility-only score on the same bars; NaN where none applies.
    consistency : float
        Share of the blocks whose mean is above 0; one half is what noise has.
    n_rows : int
        Labelled train rows.
    families : tuple of str
    family_rows : list of dict
        Rows of ``target_family_scores``.
    importance_rows : list of dict
        Rows of ``target_feature_importances``.
    n_left_out : int
        Features that the leakage screen kept out.
    reason : str
        Why the target is not rankable, or what was left out; empty where nothing was.
    """

    target: str
    task: str
    metric: str = ""
    view: str = ""
    test: BlockTest | None = None
    reference_mean: float = float("nan")
    consistency: float = float("nan")
    n_rows: int = 0
    families: tuple[str, ...] = ()
    family_rows: list[dict[str, Any]] = field(default_factory=list)
    importance_rows: list[dict[str, Any]] = field(default_factory=list)
    n_left_out: int = 0
    reason: str = ""

    @property
    def rankable(self) -> bool:
        """Whether the test has enough blocks to be believed."""
        return self.test is not None and bool(np.isfinite(self.test.p))

    @property
    def cacheable(self) -> bool:
        """Whether a later run may believe it: a failure may pass."""
        return not self.reason.startswith("failed: ")


def evaluate_target(
    data: TrainingData, target: str, config: TargetRankingConfig
) -> Evaluation:
    """Out-of-fold skill of one target and its block test.

    Features that the leakage screen blocks are left out before anything is fitted, so
    that a leaked column cannot lift a target.
    """
    problem = data.problem(target, config)
    evaluation = Evaluation(
        target,
        problem.task,
        metric=problem.metric,
        view=problem.view,
        n_rows=len(problem.samples),
    )
    refusal = _refusal(problem)
    if refusal:
        return replace(evaluation, reason=refusal)
    try:
        folds = problem.folds(config.cv_folds)
    except UserError as error:
        return replace(evaluation, reason=str(error))
    short = _too_short(problem, folds)
    if short:
        return replace(evaluation, reason=short)
    report = screen_features(problem, data.label_columns, config.leakage)
    usable = usable_features(report, config.leakage.allow_suspect)
    families = families_for(config, problem.task)
    if not usable or not families:
        lacking = "feature passes the leakage screen" if families else "family fits it"
        return replace(evaluation, reason=f"no {lacking}")
    left_out = [name for name in problem.samples.feature_names if name not in usable]
    problem = problem.for_models(usable)  # the raw features are let go
    fit = cross_fit(problem, families, config, folds)
    skill = problem.measure(combine(fit.scores, problem))
    volatility = [name for name in data.volatility_features if name in usable]
    reference = _reference_skill(problem, volatility, families, config, folds)
    text = f"left out by the leakage screen: {', '.join(left_out)}"
    return replace(
        evaluation,
        test=block_test(skill - reference, problem.block_bars),
        reference_mean=_reference_mean(skill, reference, problem),
        consistency=consistency(skill - reference, problem.block_bars),
        families=families,
        family_rows=_family_rows(problem, fit, folds),
        importance_rows=_importance_rows(problem, fit),
        n_left_out=len(left_out),
        reason=text if left_out else "",
    )


def consistency(series: Series, block_bars: int) -> float:
    """Share of the blocks of a series whose mean is above 0; NaN without a block."""
    means = block_means(series, block_bars)
    return float((means > 0).mean()) if len(means) else float("nan")


def _refusal(problem: Problem) -> str:
    """Why a target cannot be evaluated at all; empty when it can."""
    labels = np.full(problem.n_cells, np.nan)
    labels[: len(problem.outcome)] = problem.outcome
    return degenerate_reason(labels, problem.task) or ""


def _too_short(problem: Problem, folds: Sequence[Fold]) -> str:
    """Why no test is possible however good the target, before anything is fitted."""
    tested = np.concatenate([problem.samples.bars[test] for _, test in folds])
    block = problem.block_bars
    span = int(np.ptp(tested)) + 1
    # block_test counts a last block that is at least half full
    n_blocks = (span + block // 2) // block
    return "" if n_blocks >= MIN_BLOCKS else too_few(n_blocks, block)


def too_few(n_blocks: int, block_bars: int) -> str:
    """Say that a test has too few blocks, and what to do about it."""
    return (
        f"{n_blocks} blocks of {block_bars} bars out of fold; a test needs "
        f"{MIN_BLOCKS}. Use more bars or a shorter horizon"
    )


def _family_rows(
    problem: Problem, fit: CrossFit, folds: Sequence[Fold]
) -> list[dict[str, Any]]:
    """Skill of each family by itself in each fold."""
    tested = [np.unique(problem.samples.bars[test]) for _, test in folds]
    rows = []
    for family, score in fit.scores.items():
        skill = problem.measure(score)
        rows += [
            _family_row(problem, family, fold, skill[bars])
            for fold, bars in enumerate(tested)
        ]
    return rows


def _importance_rows(problem: Problem, fit: CrossFit) -> list[dict[str, Any]]:
    """Native importance of each feature in the models of the folds."""
    names = problem.samples.feature_names
    return [
        {
            "target": problem.target,
            "family": family,
            "feature": feature,
            "importance": float(share),
        }
        for family, shares in fit.importances.items()
        for feature, share in zip(names, shares, strict=True)
    ]


def _family_row(
    problem: Problem, family: str, fold: int, skill: Series
) -> dict[str, Any]:
    measured = skill[np.isfinite(skill)]
    return {
        "target": problem.target,
        "family": family,
        "fold": fold,
        "metric": problem.metric,
        "mean": float(measured.mean()) if len(measured) else float("nan"),
        "n_bars": len(measured),
    }


def _reference_skill(
    problem: Problem,
    volatility: Sequence[str],
    families: Sequence[str],
    config: TargetRankingConfig,
    folds: Sequence[Fold],
) -> Series:
    """Skill per bar that volatility alone has; 0 where the target needs no reference.

    A path or a barrier target is reached more often by a volatile symbol whatever its
    direction. The reference is what the same families find in the volatility columns
    alone, so that it has their orientation and their curvature.
    """
    n_bars = problem.samples.shape[0]
    if problem.kind == "forward_return":
        return np.zeros(n_bars)
    if not volatility:
        return np.full(n_bars, np.nan)
    scores = out_of_fold(problem.for_models(volatility), families, config, folds)
    return problem.measure(combine(scores, problem))


def _reference_mean(skill: Series, reference: Series, problem: Problem) -> float:
    both = np.isfinite(skill) & np.isfinite(reference)
    if problem.kind == "forward_return" or not both.any():
        return float("nan")
    return float(reference[both].mean())
