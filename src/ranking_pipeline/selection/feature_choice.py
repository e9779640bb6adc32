"""Feature choice: which leak-free features each selected target is trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ranking_pipeline.errors import UserError
from ranking_pipeline.selection.choice import COLUMNS, FAILED, Choice
from ranking_pipeline.selection.config import FeatureSelectionConfig
from ranking_pipeline.selection.fan_out import Each, in_turn
from ranking_pipeline.selection.target_choice import choose_or_record

OUTCOME_COLUMNS = ("target", "status", "n_features", "reason")


@dataclass(frozen=True)
class FeatureSelection:
    """Tables of the feature selection, and the choice made from them.

    Attributes
    ----------
    importance : DataFrame
        Per family, method and feature.
    consensus : DataFrame
        One row per feature with its verdict, in the order of the consensus.
    family_scores : DataFrame
        Mean rank score of each feature in each family, and whether it is in its top.
    agreement : DataFrame
        Pairs of families.
    stability : DataFrame
        Over folds, over seeds, and over folds with shuffled labels.
    leakage : DataFrame
        What the leakage screen found.
    filters : DataFrame
        What each feature shows by itself.
    symbol_importance, comparison : DataFrame
        Importance within single symbols, and set against the pooled one.
    outcomes : DataFrame
        Status of each target: ``chosen``, ``manual``, ``selection_fallback``,
        ``failed``.
    selected : dict of target to list of str
        Without the targets that failed.
    """

    importance: pd.DataFrame
    consensus: pd.DataFrame
    family_scores: pd.DataFrame
    agreement: pd.DataFrame
    stability: pd.DataFrame
    leakage: pd.DataFrame
    filters: pd.DataFrame
    symbol_importance: pd.DataFrame
    comparison: pd.DataFrame
    outcomes: pd.DataFrame
    selected: dict[str, list[str]]


def select_features(
    data: Any,
    targets: Sequence[str],
    config: FeatureSelectionConfig,
    each: Each | None = None,
) -> FeatureSelection:
    """Choose features for each selected target inside the train span.

    Parameters
    ----------
    data : TrainingData
        Not looked at when ``each`` is given.
    targets : sequence of str
        May be empty: the tables are then empty too.
    config : FeatureSelectionConfig
    each : callable, optional
        How targets are spread over workers; one after the other by default.

    Returns
    -------
    FeatureSelection
        ``selected`` holds the features of each target in the order of their consensus.
        A blocked feature is never among them. A target that failed is a row of
        ``outcomes`` and the others go on.

    Raises
    ------
    UserError
        When a manual feature is unknown or blocked, a family cannot be fitted, or
        every target failed; with ``strict`` when one did.
    """
    found = (each or in_turn(data))(choose_or_record, targets, config)
    choices = dict(zip(targets, found, strict=True))
    _require_one(choices)
    return FeatureSelection(
        **{name: _stack(choices, name) for name in COLUMNS},
        outcomes=_outcomes(choices),
        selected={
            target: choice.selected
            for target, choice in choices.items()
            if choice.status != FAILED
        },
    )


def _stack(choices: dict[str, Choice], name: str) -> pd.DataFrame:
    frames = [choice.tables.get(name) for choice in choices.values()]
    filled = [frame for frame in frames if frame is not None and len(frame)]
    columns = list(COLUMNS[name])
    if not filled:
        return pd.DataFrame(columns=columns)
    stacked: pd.DataFrame = pd.concat(filled, ignore_index=True)[columns]
    return stacked


def _outcomes(choices: dict[str, Choice]) -> pd.DataFrame:
    rows = [
        (target, choice.status, len(choice.selected), choice.reason)
        for target, choice in choices.items()
    ]
    return pd.DataFrame(rows, columns=list(OUTCOME_COLUMNS))


def _require_one(choices: dict[str, Choice]) -> None:
    failed = [choice for choice in choices.values() if choice.status == FAILED]
    if failed and len(failed) == len(choices):
        reasons = "; ".join(f"{choice.target}: {choice.reason}" for choice in failed)
        raise UserError(f"feature_selection failed for every target. {reasons}")
