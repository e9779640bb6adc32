"""Doubts: why the row that is promoted may be worth nothing, by validation alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd


def doubts(leaderboard: pd.DataFrame, row: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence for each reason not to use a row; it is promoted all the same.

    Parameters
    ----------
    leaderboard : DataFrame
        Columns model_id, target, kind, validation_ic.
    row : mapping
        The row that is promoted.
    """
    told = f"{row['model_id']} of {row['target']} has a rank IC of "
    measured = float(row["validation_ic"])
    if not measured > 0:
        yield f"{told}{measured:+.4f} on validation: it foretells nothing there."
    rivals = leaderboard[
        (leaderboard["kind"] == "baseline")
        & (leaderboard["target"] == row["target"])
        & leaderboard["validation_ic"].notna()
    ]
    if rivals.empty:
        return
    best = rivals.loc[rivals["validation_ic"].idxmax()]
    if not measured > best["validation_ic"]:
        yield (
            f"{told}{measured:+.4f} on validation, and the baseline {best['model_id']}, "
            f"which needs no fit, {best['validation_ic']:+.4f}."
        )


def replaces_better(
    meant: Mapping[str, Any] | None, row: Mapping[str, Any], panel: str
) -> Iterator[str]:
    """Yield a sentence where the alias means a model that measured better until now.

    Parameters
    ----------
    meant : mapping or None
        The record of the promotion that the alias means; None where there is none.
    row : mapping
        The row that is promoted.
    panel : str
        SHA-256 of the bars of the row.
    """
    if meant is None or meant["target"] != row["target"]:
        return
    before = meant.get("validation", {}).get("rank_ic")
    measured = float(row["validation_ic"])
    if before is None or measured >= before:
        return
    same = meant.get("provenance", {}).get("data", {}).get("panel") == panel
    yield (
        f"{row['model_id']} of {row['target']} with a rank IC of {measured:+.4f} on "
        f"validation takes the place of {meant['model_id']}, which had {before:+.4f}"
        f"{'' if same else ' on other bars'}."
    )
