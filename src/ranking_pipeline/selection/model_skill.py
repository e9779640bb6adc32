"""Questioned models: out-of-fold skill and importance under changed conditions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ranking_pipeline.models.samples import thin_bars
from ranking_pipeline.row_ranks import percentile_ranks_within
from ranking_pipeline.selection.config import (
    FeatureSelectionConfig,
    LeakageConfig,
    TargetRankingConfig,
)
from ranking_pipeline.selection.leakage import series_over_bars, volatility_ranks
from ranking_pipeline.selection.leakage_bounds import leak_block_bars, lower_bounds
from ranking_pipeline.selection.leakage_outcomes import groups_of
from ranking_pipeline.selection.leakage_report import BLOCKED, SAFE, SUSPECT
from ranking_pipeline.selection.out_of_fold import FoldModels, fit_family
from ranking_pipeline.selection.partial_ic import RankColumns
from ranking_pipeline.selection.problem import Problem

Series = npt.NDArray[np.float64]
Matrix = npt.NDArray[np.float64]

_MOST_SUSPECTS = 3


@dataclass(frozen=True)
class Opinion:
    """What a model says out of fold.

    Attributes
    ----------
    score : ndarray of float64, shape (n,)
        NaN on rows that no fold tests.
    skill : ndarray of float64, shape (T,)
        Partial IC per bar, volatility removed.
    shares : ndarray of float64, shape (F,)
        Native importance, mean over the folds; zeros for a family without one.
    """

    score: Series
    skill: Series
    shares: Series


@dataclass(frozen=True)
class Questioned:
    """A problem as one family sees it, with the volatility reference of the whole.

    Attributes
    ----------
    problem : Problem
        With the usable features, prepared for models.
    family : str
    config : FeatureSelectionConfig or TargetRankingConfig
    """

    problem: Problem
    family: str
    config: FeatureSelectionConfig | TargetRankingConfig

    @classmethod
    def of(
        cls,
        problem: Problem,
        usable: Sequence[str],
        family: str,
        config: FeatureSelectionConfig | TargetRankingConfig,
    ) -> Questioned:
        """Prepare the usable features of a problem.

        Raises
        ------
        UserError
            When the bars are too few for the folds.
        """
        asked = cls(problem.for_models(usable), family, config)
        asked.problem.folds(config.cv_folds)
        return asked

    @property
    def leakage(self) -> LeakageConfig:
        """Parameters of the leak detector."""
        return self.config.leakage

    @property
    def names(self) -> tuple[str, ...]:
        """Features that the models see."""
        return self.problem.samples.feature_names

    def opinion(
        self,
        fitted_on: npt.NDArray[np.bool_] | None = None,
        kept: FoldModels | None = None,
    ) -> Opinion:
        """Fit each fold, to some of its train rows only if asked, and score the rest.

        Parameters
        ----------
        fitted_on : ndarray of bool, shape (n,), optional
            Rows that may be learned from.
        kept : dict, optional
            Where the fitted models are left.
        """
        samples = self.problem.samples
        score = np.full(len(samples), np.nan)
        shares = np.zeros(len(self.names))
        folds = self.problem.folds(self.config.cv_folds)
        for fold, (train, test) in enumerate(folds):
            rows = train if fitted_on is None else train[fitted_on[train]]
            rows = rows[thin_bars(samples.bars[rows], self.config.max_train_rows)]
            model = fit_family(samples.take(rows), self.family, self.config)
            if kept is not None:
                kept[self.family, self.names, fold] = model
            score[test] = model.predict(samples.take(test)).score
            importance = model.importance()
            if importance is not None:
                shares += np.asarray(importance, dtype=np.float64) / len(folds)
        return Opinion(score, self.skill(score), shares)

    def skill(self, score: Series) -> Series:
        """Partial IC per bar of a score with the label, volatility removed, (T,)."""
        problem = self.problem
        rows = np.flatnonzero(np.isfinite(score))
        groups = groups_of(problem)[rows]
        reference = volatility_ranks(problem, self.leakage.volatility_columns)
        columns = RankColumns(
            percentile_ranks_within(score[rows], groups)[:, None].astype(np.float32),
            percentile_ranks_within(problem.outcome[rows], groups)[:, None],
            reference[rows],
            problem.samples.bars[rows],
            problem.samples.symbols[rows],
            problem.samples.shape[0],
            problem.min_symbols,
        )
        return np.asarray(series_over_bars(columns, problem.view)[:, 0, 0])

    def without(self, names: Sequence[str]) -> Series:
        """Skill per bar of the family without some features; 0 where none is left."""
        kept = tuple(name for name in self.names if name not in set(names))
        if not kept:
            return np.zeros(self.problem.samples.shape[0])
        score = Questioned(
            self.problem.for_models(kept), self.family, self.config
        ).opinion()
        return self.skill(score.score)

    def judge_loss(self, start: float, loss: float, low: float) -> tuple[str, str]:
        """Status of suspects by the skill that is lost without them, and why.

        Parameters
        ----------
        start : float
            Mean skill with the suspects.
        loss, low : float
            Mean loss, and its lower bound.
        """
        config = self.leakage
        limit = config.max_partial_ic
        large = loss >= config.min_drop or (
            start > 0 and loss >= config.min_relative_drop * start
        )
        if not large:
            return SAFE, "not confirmed: little is lost without"
        if not np.isfinite(low):
            doubt = loss >= config.min_drop
            return SUSPECT if doubt else SAFE, "too few blocks for a bound of the loss"
        if low > limit:
            return BLOCKED, f"at least {low:.3f} is lost, honest up to {limit}"
        return SAFE, f"dominant at an honest level: a loss up to {limit} is no leak"


def bounded(series: Series, asked: Questioned) -> tuple[float, float, float]:
    """Mean over bars, and the lower bounds of its size and of itself."""
    measured = int(np.isfinite(series).sum())
    width = leak_block_bars(measured, asked.problem.block_bars)
    bounds = lower_bounds(series[:, None], width, asked.leakage.confidence)
    return float(bounds.mean[0]), float(bounds.low[0]), float(bounds.signed_low[0])


def dominant(shares: Series, config: LeakageConfig) -> list[int]:
    """Columns whose importance raises a doubt, most important first.

    One column of ``dominance_share`` that exceeds the second ``dominance_ratio``
    times, or columns of ``dominance_alone`` each; failing these, two or three that
    share ``dominance_alone`` and stand out in the same way, as twins of one leak do.
    """
    order = np.argsort(-shares, kind="stable")
    ranked = np.append(shares[order], [0.0] * _MOST_SUSPECTS)
    alone = [int(k) for k in order if shares[k] >= config.dominance_alone]
    if alone:
        return alone
    # a group is part of the whole; a single feature may be all there is
    for size in range(1, min(_MOST_SUSPECTS, max(len(shares) - 1, 1)) + 1):
        least = config.dominance_share if size == 1 else config.dominance_alone
        together = ranked[:size].sum() >= least
        if together and ranked[size - 1] >= config.dominance_ratio * ranked[size]:
            return [int(k) for k in order[:size]]
    return []
