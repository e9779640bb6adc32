"""Consensus: one order of the features from the opinions of several families."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.selection.importance import Importances, rank_score
from ranking_pipeline.selection.stability import (
    STABILITY_COLUMNS,
    UNKNOWN,
    jaccard,
    stability_state,
    top_features,
)

__all__ = [
    "AGREEMENT_COLUMNS",
    "CONSENSUS_COLUMNS",
    "FAMILY_COLUMNS",
    "STABILITY_COLUMNS",
    "UNKNOWN",
    "agreement_table",
    "consensus_score",
    "families_agreeing",
    "family_scores",
    "family_table",
    "rank_score",
    "stability_state",
    "top_lists",
]

Shares = npt.NDArray[np.float64]
Listed = npt.NDArray[np.bool_]

CONSENSUS_COLUMNS = (
    "target", "feature", "consensus_score", "n_families_agree", "stability", "selected",
    "reason", "cluster", "std_across_families",
)  # fmt: skip
AGREEMENT_COLUMNS = (
    "target", "family_a", "family_b", "rank_correlation", "top_overlap",
)  # fmt: skip
FAMILY_COLUMNS = ("target", "family", "feature", "score", "in_top")


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


def consensus_score(scores: Mapping[str, Shares]) -> Shares:
    """Mean of the families' scores, rounded to 12 digits so that ties are ties."""
    return np.asarray(np.round(np.mean(list(scores.values()), axis=0), 12))


def top_lists(
    importances: Importances, scores: Mapping[str, Shares], top: int
) -> dict[str, Listed]:
    """Which features are among the own top of each family, by family, shape (F,).

    A feature to which every method of a family gives no importance is not, however
    long the list: a positive number alone is no agreement either, for trees use nearly
    every column.
    """
    names = np.array(importances.features)
    lists = {}
    for family, score in scores.items():
        used = np.zeros(len(names), dtype=bool)
        for (owner, _), share in importances.shares.items():
            used |= (owner == family) & (share > 0)
        listed = np.zeros(len(names), dtype=bool)
        listed[np.lexsort((names, -score))[:top]] = True
        lists[family] = listed & used
    return lists


def families_agreeing(
    importances: Importances, scores: Mapping[str, Shares], top: int
) -> npt.NDArray[np.intp]:
    """In how many families each feature is among the own top, shape (F,)."""
    lists = list(top_lists(importances, scores, top).values())
    return np.asarray(np.sum(lists, axis=0, dtype=np.intp))


def family_table(
    target: str,
    importances: Importances,
    scores: Mapping[str, Shares],
    lists: Mapping[str, Listed],
) -> pd.DataFrame:
    """Score of each feature in each family, and whether it is in the family's top."""
    frames = [
        pd.DataFrame(
            {
                "target": target,
                "family": family,
                "feature": importances.features,
                "score": scores[family],
                "in_top": lists[family],
            }
        )
        for family in sorted(scores)
    ]
    return pd.concat(frames, ignore_index=True)


def agreement_table(
    target: str, scores: Mapping[str, Shares], features: Sequence[str], top: int
) -> pd.DataFrame:
    """Rank correlation and overlap of the top lists for each pair of families."""
    names = np.array(features)
    rows = [
        {
            "target": target,
            "family_a": first,
            "family_b": second,
            "rank_correlation": _spearman(scores[first], scores[second]),
            "top_overlap": jaccard(
                top_features(scores[first], names, top),
                top_features(scores[second], names, top),
            ),
        }
        for first, second in combinations(sorted(scores), 2)
    ]
    return pd.DataFrame(rows, columns=list(AGREEMENT_COLUMNS))


def _spearman(first: Shares, second: Shares) -> float:
    from scipy.stats import spearmanr

    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(spearmanr(first, second).statistic)
