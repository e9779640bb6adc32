"""Out-of-fold scores: what each family says about rows that it was not fitted on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ranking_pipeline.errors import UserError
from ranking_pipeline.models import registry
from ranking_pipeline.models.base import BaseModel
from ranking_pipeline.models.samples import Samples, thin, thin_bars
from ranking_pipeline.row_ranks import Groups
from ranking_pipeline.selection.config import EstimationConfig
from ranking_pipeline.selection.problem import Fold, Problem

Scores = npt.NDArray[np.float64]
FoldModels = dict[tuple[str, tuple[str, ...], int], BaseModel]
"""Models of one problem by family, features and number of the fold."""
_CLIP = 3.0


def families_for(config: EstimationConfig, task: str) -> tuple[str, ...]:
    """Those of the :func:`configured_families` that can learn ``task``."""
    names = configured_families(config)
    return tuple(name for name in names if task in registry.family_type(name).tasks)


def configured_families(config: EstimationConfig) -> tuple[str, ...]:
    """Canonical names of the configured families; nothing is imported.

    Raises
    ------
    UserError
        When a family is unknown or has no parameter block.
    """
    names = tuple(registry.canonical(name) for name in config.model_families)
    blocks = config.family_parameters
    missing = [name for name in names if registry.block_of(blocks, name) is None]
    if missing:
        raise UserError(
            f"family_parameters has no block for {', '.join(missing)}, listed in "
            "model_families; add one or remove the family."
        )
    return names


def fit_family(samples: Samples, family: str, config: EstimationConfig) -> BaseModel:
    """Fit a family to rows, thinned to at most ``config.max_train_rows``."""
    return _fit(thin(samples, config.max_train_rows), family, config)


def out_of_fold(
    problem: Problem,
    families: Sequence[str],
    config: EstimationConfig,
    folds: Sequence[Fold],
) -> dict[str, Scores]:
    """Score every test row by models fitted to the train rows of its fold.

    Returns
    -------
    dict of family to ndarray, shape (n,)
        As the scores of :func:`cross_fit`.
    """
    return cross_fit(problem, families, config, folds).scores


@dataclass(frozen=True)
class CrossFit:
    """What the models of all folds say.

    Attributes
    ----------
    scores : dict of family to ndarray, shape (n,)
        NaN on rows that no fold tests. In the time-series view a score is counted in
        deviations from the mean of what the same model says about the train rows of
        the symbol: the folds' levels, which follow the past mean of the label, play no
        part, and nothing of the tested span is looked at.
    importances : dict of family to ndarray, shape (F,)
        Native importance, a share of 1, averaged over the folds; a family that has
        none is absent.
    """

    scores: dict[str, Scores]
    importances: dict[str, Scores]


def cross_fit(
    problem: Problem,
    families: Sequence[str],
    config: EstimationConfig,
    folds: Sequence[Fold],
) -> CrossFit:
    """Fit each family on the train rows of each fold and score its test rows."""
    samples = problem.samples
    scores = {family: np.full(len(samples), np.nan) for family in families}
    shares: dict[str, list[Scores]] = {}
    for train, test in folds:
        kept = thin_bars(samples.bars[train], config.max_train_rows)
        fitted, tested = samples.take(train[kept]), samples.take(test)
        for family in families:
            model = _fit(fitted, family, config)
            score = model.predict(tested).score.astype(np.float64)
            if problem.view == "time_series":
                score = _in_deviations(score, tested, model, fitted)
            scores[family][test] = score
            share = model.importance()
            if share is not None:
                shares.setdefault(family, []).append(np.asarray(share, np.float64))
    means = {family: np.mean(found, axis=0) for family, found in shares.items()}
    return CrossFit(scores, means)


def combine(scores: Mapping[str, Scores], problem: Problem) -> Scores:
    """Mean over families of what each says about a row, on a common scale.

    Parameters
    ----------
    scores : mapping of family to ndarray, shape (n,)
        As :func:`out_of_fold` gives them.
    problem : Problem

    Returns
    -------
    ndarray of float64, shape (n,)
        Mean of the percentile ranks within each bar; in the time-series view, where a
        bar has no ranks, mean of the scores, limited to three deviations. NaN where any
        family has no score: the mean is of the same families everywhere.
    """
    if problem.view == "time_series":
        limited = [np.clip(score, -_CLIP, _CLIP) for score in scores.values()]
        return np.asarray(np.mean(limited, axis=0))
    bars = Groups.of(problem.samples.bars)
    total = np.zeros(len(problem.samples))
    for score in scores.values():
        total += bars.percentile_ranks(score)
    return total / len(scores)


def _fit(samples: Samples, family: str, config: EstimationConfig) -> BaseModel:
    block = registry.block_of(config.family_parameters, family) or {}
    model = registry.create(family, block, config.seed, config.threads)
    model.fit(samples, None)
    return model


def _in_deviations(
    score: Scores, tested: Samples, model: BaseModel, fitted: Samples
) -> Scores:
    """Standardise a score by what its model says about each symbol's train rows."""
    known = model.predict(fitted).score.astype(np.float64)
    size = fitted.shape[1]
    count = np.maximum(np.bincount(fitted.symbols, minlength=size), 1)
    mean = np.bincount(fitted.symbols, known, size) / count
    centred = known - mean[fitted.symbols]
    deviation = np.sqrt(np.bincount(fitted.symbols, centred**2, size) / count)
    # a model that says one thing only differs from it by rounding
    told = deviation > 1e-9 * np.maximum(np.abs(mean), 1e-12)
    scale = np.where(told, deviation, np.inf)
    symbols = tested.symbols
    return np.asarray((score - mean[symbols]) / scale[symbols], dtype=np.float64)
