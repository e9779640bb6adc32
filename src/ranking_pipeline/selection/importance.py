"""Importance: how much each family relies on each feature, by several methods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.models.base import BaseModel
from ranking_pipeline.models.samples import Samples
from ranking_pipeline.selection.config import FeatureSelectionConfig
from ranking_pipeline.selection.out_of_fold import families_for, fit_family, thin_bars
from ranking_pipeline.selection.problem import Problem, Rows

Shares = npt.NDArray[np.float64]

COLUMNS = ("target", "family", "method", "feature", "importance", "rank")
_ROWS_AT_ONCE = 200_000


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
    """

    features: tuple[str, ...]
    shares: dict[tuple[str, str], Shares] = field(default_factory=dict)
    by_fold: list[dict[str, Shares]] = field(default_factory=list)


def measure_importances(
    problem: Problem, config: FeatureSelectionConfig
) -> Importances:
    """Fit each family on each fold and ask what it relies on.

    Native importance (gain, impurity or coefficients) is averaged over the folds;
    TreeSHAP and permutation are measured on the held-out rows of the last one.

    Parameters
    ----------
    problem : Problem
        With the features that may be used.
    config : FeatureSelectionConfig

    Returns
    -------
    Importances

    References
    ----------
    Lundberg et al. (2020) for TreeSHAP; Breiman (2001) for permutation.
    """
    result = Importances(problem.samples.feature_names)
    models: dict[str, BaseModel] = {}
    folds = problem.folds(config.cv_folds)
    for train, _ in folds:
        fitted = problem.samples.take(train)
        models = {
            family: fit_family(fitted, family, config)
            for family in families_for(config, problem.task)
        }
        native = {family: _native(model) for family, model in models.items()}
        result.by_fold.append({k: v for k, v in native.items() if v is not None})
    for family, model in models.items():
        opinions = _opinions(problem, family, model, folds[-1][1], result, config)
        result.shares.update(opinions)
    return result


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


def permutation_importance(
    problem: Problem, model: BaseModel, rows: Rows, repeats: int, seed: int
) -> Shares:
    """Loss of skill when a feature is shuffled among the symbols of each bar.

    Parameters
    ----------
    problem : Problem
    model : BaseModel
        Fitted on rows that exclude ``rows``.
    rows : ndarray of int, shape (k,)
        Held-out rows.
    repeats : int
        Shuffles per feature; their losses are averaged.
    seed : int

    Returns
    -------
    ndarray of float64, shape (F,)
        Mean skill of the model minus that after the shuffle.
    """
    held_out = problem.samples.take(rows)
    before = _mean_skill(problem, model.predict(held_out).score, rows)
    losses = np.zeros(held_out.features.shape[1])
    for repeat in range(repeats):
        rng = np.random.default_rng([seed, repeat])
        shuffled = np.lexsort((rng.random(len(rows)), held_out.bars))
        for columns in _chunks(len(losses), len(rows)):
            stacked = _with_shuffled(held_out, columns, shuffled)
            scores = model.predict(stacked).score.reshape(len(columns), -1)
            after = [_mean_skill(problem, score, rows) for score in scores]
            losses[columns] += before - np.array(after)
    return losses / repeats


def _opinions(
    problem: Problem,
    family: str,
    model: BaseModel,
    test: Rows,
    result: Importances,
    config: FeatureSelectionConfig,
) -> dict[tuple[str, str], Shares]:
    """Measure by those of the configured methods that the family has, normalised."""
    found: dict[tuple[str, str], Shares] = {}
    folds = [fold[family] for fold in result.by_fold if family in fold]
    if "native" in config.importance_methods and folds:
        found[family, "native"] = _normalised(np.mean(folds, axis=0))
    if "shap" in config.importance_methods:
        rows = _sample(problem, test, config.shap_max_rows)
        parts = model.contributions(problem.samples.take(rows))
        if parts is not None:
            size = np.abs(parts).mean(axis=0, dtype=np.float64)
            found[family, "shap"] = _normalised(size)
    if "permutation" in config.importance_methods and not model.sequence:
        rows = _sample(problem, test, config.permutation_max_rows)
        losses = permutation_importance(
            problem, model, rows, config.permutation_repeats, config.seed
        )
        found[family, "permutation"] = _normalised(losses)
    return found


def _native(model: BaseModel) -> Shares | None:
    importance = model.importance()
    return None if importance is None else np.asarray(importance, dtype=np.float64)


def _normalised(importance: Shares) -> Shares:
    """Shares of the positive part; NaN where there is none."""
    positive = np.where(importance > 0, importance, 0.0)
    total = positive.sum()
    return positive / total if total > 0 else np.full(len(positive), np.nan)


def _sample(problem: Problem, rows: Rows, max_rows: int) -> Rows:
    return rows[thin_bars(problem.samples.take(rows), max_rows)]


def _chunks(n_features: int, n_rows: int) -> list[Rows]:
    size = max(1, _ROWS_AT_ONCE // max(n_rows, 1))
    columns = np.arange(n_features)
    return [columns[start : start + size] for start in range(0, n_features, size)]


def _with_shuffled(
    held_out: Samples, columns: Sequence[int] | Rows, shuffled: Rows
) -> Samples:
    """One copy of the rows per column, each with that column shuffled."""
    copies = len(columns)
    features = np.tile(held_out.features, (copies, 1))
    for copy, column in enumerate(columns):
        block = slice(copy * len(held_out), (copy + 1) * len(held_out))
        features[block, column] = held_out.features[shuffled, column]
    return replace(
        held_out,
        bars=np.tile(held_out.bars, copies),
        symbols=np.tile(held_out.symbols, copies),
        features=features,
        target=np.tile(held_out.target, copies),
        label_end=np.tile(held_out.label_end, copies),
    )


def _mean_skill(problem: Problem, score: npt.NDArray[np.floating], rows: Rows) -> float:
    skill = problem.measure(score, rows)
    return float(np.nanmean(skill)) if np.isfinite(skill).any() else float("nan")
