"""Consensus: one order of the features from the opinions of several families."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.selection.importance import Importances, ranks_of

Shares = npt.NDArray[np.float64]

CONSENSUS_COLUMNS = (
    "target", "feature", "consensus_score", "n_families_agree", "stability", "selected",
    "reason",
)  # fmt: skip
AGREEMENT_COLUMNS = (
    "target", "family_a", "family_b", "rank_correlation", "top_overlap",
)  # fmt: skip
STABILITY_COLUMNS = ("target", "n_folds", "jaccard", "kendall_tau", "state")

STABLE, DRIFTING, DIVERGED, UNKNOWN = "STABLE", "DRIFTING", "DIVERGED", "UNKNOWN"
_STABLE_AT = (0.70, 0.60)  # Jaccard overlap, Kendall tau
_DRIFTING_AT = (0.50, 0.40)


@dataclass(frozen=True)
class Stability:
    """Agreement of the folds with one another about what is important.

    Attributes
    ----------
    n_folds : int
    jaccard : float
        Mean overlap of the top lists over pairs of folds.
    kendall_tau : float
        Mean rank correlation over pairs of folds.
    share_on_top : ndarray, shape (F,)
        Share of the folds in which each feature is on the top list.
    state : str
        STABLE, DRIFTING, DIVERGED, or UNKNOWN with fewer than two folds. Reported
        only: noise alone reaches DRIFTING, since trees prefer the same columns
        whatever the signal.
    """

    n_folds: int
    jaccard: float
    kendall_tau: float
    share_on_top: Shares
    state: str


def rank_score(importance: Shares) -> Shares:
    """Rank on the scale 1 (most important) to 0 (least); 1/2 for a lone feature."""
    size = np.isfinite(importance).sum()
    if size <= 1:
        return np.where(np.isfinite(importance), 0.5, np.nan)
    return np.asarray((size - ranks_of(importance)) / (size - 1))


def family_scores(importances: Importances) -> dict[str, Shares]:
    """Mean over the methods of a family of the rank scores, by family.

    A method without an opinion (all NaN) does not count; a family without any is left
    out.
    """
    by_family: dict[str, list[Shares]] = {}
    for (family, _), share in importances.shares.items():
        if np.isfinite(share).all():
            by_family.setdefault(family, []).append(rank_score(share))
    return {family: np.mean(scores, axis=0) for family, scores in by_family.items()}


def consensus_score(scores: dict[str, Shares]) -> Shares:
    """Mean of the families' scores, rounded to 12 digits so that ties are ties."""
    return np.asarray(np.round(np.mean(list(scores.values()), axis=0), 12))


def families_agreeing(
    importances: Importances, scores: dict[str, Shares], top: int
) -> npt.NDArray[np.intp]:
    """In how many families each feature is among the own top, shape (F,).

    A feature to which every method of a family gives no importance is in none, however
    long the list: a positive number alone is no agreement either, for trees use nearly
    every column.
    """
    names = np.array(importances.features)
    votes = np.zeros(len(names), dtype=np.intp)
    for family, score in scores.items():
        used = np.zeros(len(names), dtype=bool)
        for (owner, _), share in importances.shares.items():
            used |= (owner == family) & (share > 0)
        order = np.lexsort((names, -score))
        listed = np.zeros(len(names), dtype=bool)
        listed[order[:top]] = True
        votes += listed & used
    return votes


def agreement_table(
    target: str, scores: dict[str, Shares], features: Sequence[str], top: int
) -> pd.DataFrame:
    """Rank correlation and overlap of the top lists for each pair of families."""
    names = np.array(features)
    rows = [
        {
            "target": target,
            "family_a": first,
            "family_b": second,
            "rank_correlation": _spearman(scores[first], scores[second]),
            "top_overlap": _jaccard(
                _top(scores[first], names, top), _top(scores[second], names, top)
            ),
        }
        for first, second in combinations(sorted(scores), 2)
    ]
    return pd.DataFrame(rows, columns=list(AGREEMENT_COLUMNS))


def stability(importances: Importances, top: int) -> Stability:
    """Compare the native importances of the folds, averaged over families by rank."""
    names = np.array(importances.features)
    folds = [
        np.mean([rank_score(share) for share in fold.values()], axis=0)
        for fold in importances.by_fold
        if fold
    ]
    tops = [_top(score, names, top) for score in folds]
    nan = float("nan")
    shares = np.full(len(names), nan)
    if tops:
        shares = np.mean([np.isin(names, list(chosen)) for chosen in tops], axis=0)
    if len(folds) < 2:
        return Stability(len(folds), nan, nan, shares, UNKNOWN)
    overlap = float(np.mean([_jaccard(a, b) for a, b in combinations(tops, 2)]))
    tau = float(np.mean([_kendall(a, b) for a, b in combinations(folds, 2)]))
    return Stability(len(folds), overlap, tau, shares, stability_state(overlap, tau))


def stability_state(jaccard: float, kendall_tau: float) -> str:
    """STABLE, DRIFTING or DIVERGED from overlap and rank correlation."""
    for state, limits in ((STABLE, _STABLE_AT), (DRIFTING, _DRIFTING_AT)):
        if jaccard >= limits[0] and kendall_tau >= limits[1]:
            return state
    return DIVERGED


def _top(score: Shares, names: npt.NDArray[np.str_], top: int) -> frozenset[str]:
    return frozenset(names[np.lexsort((names, -score))[:top]].tolist())


def _jaccard(first: frozenset[str], second: frozenset[str]) -> float:
    union = first | second
    return len(first & second) / len(union) if union else float("nan")


def _kendall(first: Shares, second: Shares) -> float:
    from scipy.stats import kendalltau

    return (
        float(kendalltau(first, second).statistic) if len(first) > 1 else float("nan")
    )


def _spearman(first: Shares, second: Shares) -> float:
    from scipy.stats import spearmanr

    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(spearmanr(first, second).statistic)
