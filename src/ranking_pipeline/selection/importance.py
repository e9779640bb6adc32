"""Importance: how much each family relies on each feature, by several methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.models.base import BaseModel
from ranking_pipeline.models.samples import Samples
from ranking_pipeline.selection.config import FeatureSelectionConfig
from ranking_pipeline.selection.importance_rows import FoldRows
from ranking_pipeline.selection.out_of_fold import (
    FoldModels,
    families_for,
    fit_family,
)
from ranking_pipeline.selection.permutation import permutation_importance
from ranking_pipeline.selection.problem import Problem

Shares = npt.NDArray[np.float64]
ByFamily = dict[str, Shares]

COLUMNS = ("target", "family", "method", "feature", "importance", "rank")


@dataclass(frozen=True)
class Importances:
    """Importance of the features of one problem.

    Attributes
    ----------
    features : tuple of str, length F
    shares : dict of (family, method) to ndarray, shape (F,)
        Sum to one; all NaN where a method found nothing, for then it has no opinion.
    by_fold : list of dict of family to ndarray, shape (F,)
        Native importance in each fold, for stability.
    by_seed : list of the same
        In the last fold with each of several seeds.
    by_null : list of the same
        In each fold after the labels were shuffled: what there is without any signal.
    absent : tuple of (family, method)
        Methods that were asked for and that the family does not have.
    """

    features: tuple[str, ...]
    shares: dict[tuple[str, str], Shares] = field(default_factory=dict)
    by_fold: list[ByFamily] = field(default_factory=list)
    by_seed: list[ByFamily] = field(default_factory=list)
    by_null: list[ByFamily] = field(default_factory=list)
    absent: tuple[tuple[str, str], ...] = ()


def measure_importances(
    problem: Problem,
    folds: Sequence[FoldRows],
    config: FeatureSelectionConfig,
    known: FoldModels | None = None,
) -> Importances:
    """Fit each family on each fold and ask what it relies on.

    Native importance (gain, impurity or coefficients) is that of the fits; TreeSHAP and
    permutation look at held-out rows. Each is averaged over the folds. TreeSHAP is what
    the boosters compute themselves, and a linear model's terms are its SHAP values; the
    random forest and the perceptron have nothing of the kind and are not asked.

    Parameters
    ----------
    problem : Problem
        With the features that may be used.
    folds : sequence of FoldRows
    config : FeatureSelectionConfig
    known : dict, optional
        Models that were fitted to the train rows of the same folds before.

    Returns
    -------
    Importances

    References
    ----------
    Lundberg et al. (2020) for TreeSHAP; Breiman (2001) for permutation.
    """
    families = families_for(config, problem.task)
    sums: dict[tuple[str, str], list[Shares]] = {}
    by_fold: list[ByFamily] = []
    absent: dict[tuple[str, str], None] = {}
    for number, fold in enumerate(folds):
        train = problem.samples.take(fold.train)
        models = {
            family: (known or {}).get((family, train.feature_names, number))
            or fit_family(train, family, config)
            for family in families
        }
        by_fold.append(_native(models))
        for family, model in models.items():
            for method in config.importance_methods:
                found = _opinion(problem, model, fold, method, config)
                if found is None:
                    absent[family, method] = None
                else:
                    sums.setdefault((family, method), []).append(found)
    return Importances(
        problem.samples.feature_names,
        {key: normalised(np.mean(found, axis=0)) for key, found in sums.items()},
        by_fold,
        _over_seeds(problem, folds[-1], by_fold[-1], families, config),
        _without_signal(problem, folds, families, config),
        tuple(absent),
    )


def importance_table(target: str, importances: Importances) -> pd.DataFrame:
    """Tidy table with columns as in ``COLUMNS``; rank 1 is the most important."""
    frames = [
        pd.DataFrame(
            {
                "target": target,
                "family": family,
                "method": method,
                "feature": importances.features,
                "importance": share,
                "rank": ranks_of(share),
            }
        )
        for (family, method), share in importances.shares.items()
    ]
    frame = pd.concat(frames) if frames else pd.DataFrame(columns=list(COLUMNS))
    order = ["target", "family", "method", "rank", "feature"]
    return frame.sort_values(order, kind="stable").reset_index(drop=True)


def ranks_of(importance: Shares) -> Shares:
    """Average ranks, 1 for the largest; NaN stays NaN, ties after 12 digits."""
    from scipy.stats import rankdata

    ranks = rankdata(-np.round(importance, 12), nan_policy="omit")
    return np.asarray(np.where(np.isfinite(importance), ranks, np.nan))


def rank_score(importance: Shares) -> Shares:
    """Rank on the scale 1 (most important) to 0 (least); 1/2 for a lone feature."""
    size = np.isfinite(importance).sum()
    if size <= 1:
        return np.where(np.isfinite(importance), 0.5, np.nan)
    return np.asarray((size - ranks_of(importance)) / (size - 1))


def normalised(importance: Shares) -> Shares:
    """Shares of the positive part; NaN where there is none."""
    positive = np.where(importance > 0, importance, 0.0)
    total = positive.sum()
    return positive / total if total > 0 else np.full(len(positive), np.nan)


def native_importance(model: BaseModel) -> Shares | None:
    """Importance by the model's own account, None where it has none."""
    importance = model.importance()
    return None if importance is None else np.asarray(importance, dtype=np.float64)


def _opinion(
    problem: Problem,
    model: BaseModel,
    fold: FoldRows,
    method: str,
    config: FeatureSelectionConfig,
) -> Shares | None:
    """What one method says of a fitted model, None where it cannot be asked."""
    if method == "native":
        return native_importance(model)
    if method == "shap":
        parts = model.contributions(problem.samples.take(fold.explained))
        return None if parts is None else np.abs(parts).mean(axis=0, dtype=np.float64)
    if model.sequence:
        return None
    return permutation_importance(
        problem, model, fold.shuffled, config.permutation_repeats, config.seed
    )


def _fitted(
    train: Samples, families: Sequence[str], config: FeatureSelectionConfig
) -> dict[str, BaseModel]:
    return {family: fit_family(train, family, config) for family in families}


def _native(models: Mapping[str, BaseModel]) -> ByFamily:
    found = {family: native_importance(model) for family, model in models.items()}
    return {family: share for family, share in found.items() if share is not None}


def _over_seeds(
    problem: Problem,
    fold: FoldRows,
    first: ByFamily,
    families: Sequence[str],
    config: FeatureSelectionConfig,
) -> list[ByFamily]:
    """Native importance in one fold under each seed, the configured one first."""
    train = problem.samples.take(fold.train)
    others = range(config.seed + 1, config.seed + config.stability_seeds)
    return [first] + [
        _native(_fitted(train, families, config.model_copy(update={"seed": seed})))
        for seed in others
    ]


def _without_signal(
    problem: Problem,
    folds: Sequence[FoldRows],
    families: Sequence[str],
    config: FeatureSelectionConfig,
) -> list[ByFamily]:
    """Native importance in each fold when the labels of a bar are shuffled.

    Over time, where a bar is no cross-section, the labels of a symbol are.
    """
    if not config.stability_null:
        return []
    rng = np.random.default_rng([config.seed, 1])
    found = []
    for fold in folds:
        train = problem.samples.take(fold.train)
        groups = train.bars if problem.view == "cross_section" else train.symbols
        ordered = np.argsort(groups, kind="stable")
        shuffled = np.lexsort((rng.random(len(train)), groups))
        target = np.empty_like(train.target)
        target[ordered] = train.target[shuffled]
        found.append(_native(_fitted(replace(train, target=target), families, config)))
    return found
