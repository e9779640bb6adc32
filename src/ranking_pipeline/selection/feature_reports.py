"""Feature reports: the choice of each target as three small text files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from ranking_pipeline.selection.feature_choice import FeatureSelection

SELECTED = "selected_features.txt"
IMPORTANCE = "feature_importance_multi_model.csv"
AGREEMENT = "model_agreement_matrix.csv"


def feature_reports(selection: FeatureSelection) -> dict[str, str]:
    """Write the choice of each target down.

    Parameters
    ----------
    selection : FeatureSelection

    Returns
    -------
    dict of relative path to text
        Per target ``<target>/selected_features.txt``, one name a line in the order of
        the consensus; ``<target>/feature_importance_multi_model.csv``, a row per
        feature with its consensus and its score in each family; and
        ``<target>/model_agreement_matrix.csv``, a row per feature with 1 below each
        family whose own top has it. A target that failed has none.
    """
    texts = {}
    for target, chosen in selection.selected.items():
        consensus = selection.consensus[selection.consensus["target"] == target]
        scores = selection.family_scores[selection.family_scores["target"] == target]
        texts[f"{target}/{SELECTED}"] = "".join(f"{name}\n" for name in chosen)
        texts[f"{target}/{IMPORTANCE}"] = _csv(_importance(consensus, scores))
        texts[f"{target}/{AGREEMENT}"] = _csv(_agreement(consensus, scores))
    return texts


def parse_selected(text: str) -> list[str]:
    """Read what :func:`feature_reports` wrote into ``selected_features.txt``."""
    return text.splitlines()


def _importance(consensus: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """Consensus columns, its percentile, and ``<family>_score`` for each family."""
    measured = consensus["consensus_score"]
    table = consensus[["feature", "consensus_score", "n_families_agree"]].assign(
        consensus_pct=100 * measured.rank(pct=True)
    )
    rest = ["std_across_families", "stability", "cluster", "selected", "reason"]
    table = table.join(consensus[rest])
    for family, own in scores.groupby("family"):
        known = dict(zip(own["feature"], own["score"], strict=True))
        table[f"{family}_score"] = table["feature"].map(known)
    return table


def _agreement(consensus: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """One column per family: 1 where the feature is in its own top, else 0."""
    table = consensus[["feature", "n_families_agree"]].copy()
    for family, own in scores.groupby("family"):
        listed: Mapping[str, bool] = dict(
            zip(own["feature"], own["in_top"], strict=True)
        )
        table[str(family)] = [int(listed.get(name, False)) for name in table["feature"]]
    return table


def _csv(table: pd.DataFrame) -> str:
    return str(table.to_csv(index=False, lineterminator="\n"))
