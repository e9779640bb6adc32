"""Choice: the outcome of the feature selection for one target, and its tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.errors import UserError
from ranking_pipeline.selection import (
    consensus,
    filters,
    importance,
    stability,
    symbol_importance,
)
from ranking_pipeline.selection.config import FeatureSelectionConfig
from ranking_pipeline.selection.filters import univariate_scores
from ranking_pipeline.selection.leakage_report import COLUMNS as LEAKAGE_COLUMNS
from ranking_pipeline.selection.leakage_report import SAFE
from ranking_pipeline.selection.leakage_report import STATUSES as LEAKAGE_STATUSES
from ranking_pipeline.selection.problem import Problem

CHOSEN, MANUAL, FALLBACK, FAILED = "chosen", "manual", "selection_fallback", "failed"
STATUSES = (CHOSEN, MANUAL, FALLBACK, FAILED)

COLUMNS: dict[str, tuple[str, ...]] = {
    "importance": importance.COLUMNS,
    "consensus": consensus.CONSENSUS_COLUMNS,
    "family_scores": consensus.FAMILY_COLUMNS,
    "agreement": consensus.AGREEMENT_COLUMNS,
    "stability": stability.STABILITY_COLUMNS,
    "leakage": LEAKAGE_COLUMNS,
    "filters": filters.COLUMNS,
    "symbol_importance": symbol_importance.SYMBOL_COLUMNS,
    "comparison": symbol_importance.COMPARISON_COLUMNS,
}


@dataclass(frozen=True)
class Choice:
    """What was chosen for one target, and the tables that led to it.

    Attributes
    ----------
    target : str
    status : str
        ``chosen``, ``manual``, ``selection_fallback`` or ``failed``.
    reason : str
        What happened, or what could not be measured; may be empty.
    selected : list of str
        In the order of the consensus; empty when it failed.
    tables : dict of str to DataFrame
        Names and columns as in ``COLUMNS``; one that is absent is empty.
    """

    target: str
    status: str
    reason: str
    selected: list[str]
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)

    @property
    def cacheable(self) -> bool:
        """Whether nothing went wrong that another run may not meet."""
        return self.status in {CHOSEN, MANUAL}


def manual_choice(
    target: str,
    report: pd.DataFrame,
    usable: Sequence[str],
    config: FeatureSelectionConfig,
) -> Choice:
    """Take ``manual_features``.

    Raises
    ------
    UserError
        When one is unknown or does not pass the leakage screen.
    """
    wanted = tuple(dict.fromkeys(config.manual_features))
    if not wanted:
        raise UserError(
            "feature_selection.auto is false but feature_selection.manual_features is "
            "empty; name at least one feature."
        )
    unknown = [name for name in wanted if name not in set(report["feature"])]
    refused = [name for name in wanted if name not in usable and name not in unknown]
    if unknown or refused:
        doubts = doubts_of(report)
        faults = [f"{name} is not in feature_manifest" for name in unknown]
        faults += [f"{name} leaks into {target}: {doubts[name]}" for name in refused]
        raise UserError("feature_selection.manual_features: " + "; ".join(faults))
    frame = _plain_table(target, wanted, np.full(len(wanted), np.nan))
    note = "named in manual_features"
    frame = frame.assign(selected=True, reason=note)
    return _without_importance(MANUAL, note, report, frame)


def fallback_choice(
    problem: Problem,
    names: Sequence[str],
    report: pd.DataFrame,
    config: FeatureSelectionConfig,
    cause: Exception,
) -> Choice:
    """Choose leak-screened features by their own score: the recorded way out."""
    columns = [problem.samples.feature_names.index(name) for name in names]
    scores = univariate_scores(problem)[columns]
    ranked = importance.rank_score(np.round(scores, 12))
    frame = ordered(_plain_table(problem.target, names, ranked))
    frame["selected"] = np.arange(len(frame)) < config.top_m_features
    frame["reason"] = note = f"{FALLBACK}: {type(cause).__name__}: {cause}"
    return _without_importance(FALLBACK, note, report, frame)


def ordered(frame: pd.DataFrame) -> pd.DataFrame:
    """Best consensus first, equal ones by name."""
    frame = frame.assign(descending=-frame["consensus_score"])
    frame = frame.sort_values(["descending", "feature"], kind="stable")
    return frame.drop(columns="descending").reset_index(drop=True)


def with_refused(
    frame: pd.DataFrame, report: pd.DataFrame, facts: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Append the features that the leakage screen or a filter kept out."""
    target = str(report["target"].iloc[0])
    reasons = doubts_of(report)
    reasons.pop("", None)
    if facts is not None:
        refused = facts[facts["reason"] != ""]
        reasons |= dict(zip(refused["feature"], refused["reason"], strict=True))
    there = set(frame["feature"])
    listed = dict.fromkeys(report["feature"])
    out = [name for name in listed if name in reasons and name not in there]
    if not out:
        return frame
    rest = _plain_table(target, out, np.full(len(out), np.nan))
    rest = rest.assign(selected=False, reason=[reasons[name] for name in out])
    return pd.concat([frame, rest], ignore_index=True)


def doubts_of(report: pd.DataFrame) -> dict[str, str]:
    """Worst status and its evidence of each feature that is not SAFE.

    Feature "" is the model as a whole.
    """
    doubts = report[report["status"] != SAFE]
    weight = doubts["status"].map(LEAKAGE_STATUSES.index)
    worst = doubts.assign(weight=weight).sort_values("weight", kind="stable")
    texts = worst["status"] + ": " + worst["evidence"]
    return dict(zip(worst["feature"], texts, strict=True))


def _plain_table(
    target: str, features: Sequence[str], scores: npt.NDArray[np.float64]
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "target": target,
            "feature": list(features),
            "consensus_score": scores,
            "n_families_agree": 0,
            "stability": np.nan,
            "cluster": 0,
            "std_across_families": np.nan,
        }
    )


def _without_importance(
    status: str, reason: str, report: pd.DataFrame, frame: pd.DataFrame
) -> Choice:
    target = str(frame["target"].iloc[0])
    nothing = importance.Importances(())
    tables = {
        "consensus": with_refused(frame, report),
        "stability": stability.stability_table(target, nothing, 1),
        "leakage": report,
    }
    selected = list(frame.loc[frame["selected"], "feature"])
    return Choice(target, status, reason, selected, tables)
