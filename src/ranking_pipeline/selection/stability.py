"""Stability: whether folds, and seeds, agree on what is important."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.selection.importance import ByFamily, Importances, rank_score

Shares = npt.NDArray[np.float64]

STABILITY_COLUMNS = (
    "target", "n_folds", "jaccard", "kendall_tau", "state", "n_seeds", "seed_jaccard",
    "seed_kendall_tau", "null_jaccard", "null_kendall_tau",
)  # fmt: skip
STABLE, DRIFTING, DIVERGED, UNKNOWN = "STABLE", "DRIFTING", "DIVERGED", "UNKNOWN"
_STABLE_AT = (0.70, 0.60)  # Jaccard overlap, Kendall tau
_DRIFTING_AT = (0.50, 0.40)


@dataclass(frozen=True)
class Stability:
    """Agreement of several fits with one another about what is important.

    Attributes
    ----------
    n_fits : int
        Folds, or seeds.
    jaccard : float
        Mean overlap of the top lists over pairs of fits.
    kendall_tau : float
        Mean rank correlation over pairs of fits.
    share_on_top : ndarray, shape (F,)
        Share of the fits in which each feature is on the top list.
    """

    n_fits: int
    jaccard: float
    kendall_tau: float
    share_on_top: Shares

    @property
    def state(self) -> str:
        """STABLE, DRIFTING or DIVERGED; UNKNOWN with fewer than two fits.

        Reported only: noise alone reaches DRIFTING, since trees prefer the same columns
        whatever the signal. ``null_jaccard`` says what shuffled labels reach here.
        """
        if self.n_fits < 2:
            return UNKNOWN
        return stability_state(self.jaccard, self.kendall_tau)


def stability_of(
    fits: Sequence[ByFamily], features: Sequence[str] | Sequence[int], top: int
) -> Stability:
    """Compare importances of several fits, averaged over families by rank.

    Parameters
    ----------
    fits : sequence of dict of family to ndarray, shape (F,)
        One per fold, or per seed.
    features : sequence of str or int, length F
        Names, or places. Equal importances are ordered by them.
    top : int
        Size of the top lists.

    Returns
    -------
    Stability
    """
    names = np.array(features)
    scores = [
        np.mean([rank_score(share) for share in fit.values()], axis=0)
        for fit in fits
        if fit
    ]
    tops = [top_features(score, names, top) for score in scores]
    nan = float("nan")
    shares = np.full(len(names), nan)
    if tops:
        shares = np.mean([np.isin(names, list(chosen)) for chosen in tops], axis=0)
    if len(scores) < 2:
        return Stability(len(scores), nan, nan, shares)
    overlap = float(np.mean([jaccard(a, b) for a, b in combinations(tops, 2)]))
    tau = float(np.mean([_kendall(a, b) for a, b in combinations(scores, 2)]))
    return Stability(len(scores), overlap, tau, shares)


def stability_table(target: str, importances: Importances, top: int) -> pd.DataFrame:
    """One row per target: over folds, over seeds, and over folds without signal."""
    folds, seeds, null = (
        stability_of(fits, importances.features, top)
        for fits in (importances.by_fold, importances.by_seed, importances.by_null)
    )
    values = (
        target, folds.n_fits, folds.jaccard, folds.kendall_tau, folds.state,
        seeds.n_fits, seeds.jaccard, seeds.kendall_tau, null.jaccard, null.kendall_tau,
    )  # fmt: skip
    return pd.DataFrame([values], columns=list(STABILITY_COLUMNS))


def stability_state(jaccard: float, kendall_tau: float) -> str:
    """STABLE, DRIFTING or DIVERGED from overlap and rank correlation."""
    for state, limits in ((STABLE, _STABLE_AT), (DRIFTING, _DRIFTING_AT)):
        if jaccard >= limits[0] and kendall_tau >= limits[1]:
            return state
    return DIVERGED


def top_features(score: Shares, names: npt.NDArray[Any], top: int) -> frozenset[Any]:
    """Names of the ``top`` highest scores; equal scores in the order of their names."""
    return frozenset(names[np.lexsort((names, -score))[:top]].tolist())


def jaccard(first: frozenset[Any], second: frozenset[Any]) -> float:
    """Size of the intersection over that of the union (Jaccard, 1912)."""
    union = first | second
    return len(first & second) / len(union) if union else float("nan")


def _kendall(first: Shares, second: Shares) -> float:
    """Tau-b of Kendall (1945); NaN where one side has no order."""
    from scipy.stats import kendalltau

    if len(first) < 2:
        return float("nan")
    return float(kendalltau(first, second).statistic)
