"""Prediction tables: portfolios as rows, for programs and for other systems."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from ranking_pipeline.portfolio.month_outcomes import DONE, Outcome
from ranking_pipeline.portfolio.selection import PortfolioSelection, Scorer

BATCH_TYPES = {
    "month": "str", "sector": "str", "timestamp": "datetime64[ns, UTC]", "date": "str",
    "symbol": "str", "leg": "str", "rank": "int32", "score": "float32",
    "composite_score": "float32", "weight": "float64", "source": "str",
    "model_version": "str",
}  # fmt: skip
OUTCOME_TYPES = {
    "month": "str", "sector": "str", "status": "str", "reason": "str",
    "n_candidates": "int64", "n_valid": "int64", "n_selected": "int64", "source": "str",
}  # fmt: skip
FLAT_TYPES = {
    "sector": "str", "year": "int64", "month": "int64", "date": "str", "ticker": "str",
    "ml_score": "float64", "leg": "str", "weight": "float64", "source": "str",
}  # fmt: skip


def batch_table(
    selections: Sequence[PortfolioSelection], scorer: Scorer
) -> pd.DataFrame:
    """One row per holding, sorted by (month, sector, leg, rank).

    ``timestamp`` is the end of the as-of bar, ``date`` the first day of the month that
    is traded. ``model_version`` names the model as the documents do, and is empty
    where the composite score takes its place.
    """
    rows = [
        (
            one.month, one.sector, one.timestamp, f"{one.month}-01", held.symbol,
            held.leg, held.rank, held.score, held.composite_score, held.weight,
            scorer.source, scorer.label,
        )
        for one in selections
        for held in one.holdings
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=list(BATCH_TYPES))
    frame["timestamp"] = pd.to_datetime(frame["timestamp"], utc=True)
    order = ["month", "sector", "leg", "rank"]
    return frame.astype(BATCH_TYPES).sort_values(order, ignore_index=True)


def outcome_table(outcomes: Sequence[Outcome], scorer: Scorer) -> pd.DataFrame:
    """One row per month and sector: what became of it."""
    rows = [
        (
            one.month, one.sector, one.status, one.reason, one.selection.n_candidates,
            one.selection.n_valid, len(one.selection.holdings), scorer.source,
        )
        for one in outcomes
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=list(OUTCOME_TYPES)).astype(OUTCOME_TYPES)


def flat_results(
    selections: Sequence[PortfolioSelection], scorer: Scorer
) -> pd.DataFrame:
    """Rows for other programs: sector by its short name, year and month as numbers."""
    rows = [
        (
            one.short_name, int(one.month[:4]), int(one.month[5:]), f"{one.month}-01",
            held.symbol, held.score, held.leg, held.weight, scorer.source,
        )
        for one in selections
        for held in one.holdings
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=list(FLAT_TYPES)).astype(FLAT_TYPES)


def month_files(
    outcomes: Sequence[Outcome], scorer: Scorer
) -> dict[tuple[str, str], str | None]:
    """One JSON document per portfolio: (sector, file name) -> text.

    None where there is no portfolio: one that an earlier run wrote must not pass for it.
    """
    return {
        (
            one.selection.short_name,
            f"{one.month[:4]}_{one.month[5:]}_predictions.json",
        ): _json(one.selection.to_document(scorer)) if one.status == DONE else None
        for one in outcomes
    }


def _json(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
