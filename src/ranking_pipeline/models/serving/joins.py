"""Joins: one score per cell from the parts of a version, by the rules of training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ranking_pipeline.errors import UserError
from ranking_pipeline.models.samples import Samples
from ranking_pipeline.models.serving.parts import PartScores
from ranking_pipeline.training.rank_average import member_table
from ranking_pipeline.training.routed import routed_scores, routes_of
from ranking_pipeline.training.sloped import sloped_scores

if TYPE_CHECKING:
    from ranking_pipeline.models.promoted import Promoted

_SLOPES = ["calibration_slope", "calibration_error"]


def joined(promoted: Promoted, scores: PartScores, rows: Samples) -> pd.DataFrame:
    """Score of the row of the leaderboard that was promoted.

    Parameters
    ----------
    promoted : Promoted
    scores : PartScores
    rows : Samples
        The served rows.

    Returns
    -------
    DataFrame
        timestamp, symbol, score.
    """
    join = _JOINS.get(promoted.record["route"], _together)
    return join(promoted, scores, rows)[["timestamp", "symbol", "score"]]


def _together(promoted: Promoted, scores: PartScores, rows: Samples) -> pd.DataFrame:
    """Scores side by side: one pooled model, or models of single symbols."""
    return _tables(_own(promoted), scores)


def _routed(promoted: Promoted, scores: PartScores, rows: Samples) -> pd.DataFrame:
    parts = _own(promoted)
    pooled = parts[parts["route"] == "cross_sectional"]
    members = parts[parts["route"] == "symbol_specific"]
    stamps = pd.DatetimeIndex(rows.panel.timestamps[rows.bars]).tz_localize("UTC")
    names = np.array(rows.panel.symbols)[rows.symbols]
    cells = pd.DataFrame({"timestamp": stamps, "symbol": names})
    return routed_scores(
        pooled if len(pooled) else None,
        members,
        routes_of(_plan(promoted)),
        _tables(parts, scores),
        cells.astype({"symbol": "str"}),
    )


def _sloped(promoted: Promoted, scores: PartScores, rows: Samples) -> pd.DataFrame:
    entry = _plan(promoted)["partial_pooling"]
    return sloped_scores(_tables(_own(promoted), scores), entry)


def _averaged(promoted: Promoted, scores: PartScores, rows: Samples) -> pd.DataFrame:
    parts = _own(promoted)
    parts = parts[parts["weight"].notna()]
    table = member_table(list(parts["model_id"]), _tables(parts, scores))
    return table.averaged(parts["weight"].to_numpy(dtype=np.float64))


_Join = Callable[["Promoted", PartScores, Samples], pd.DataFrame]
_JOINS: Mapping[str, _Join] = {
    "routed": _routed,
    "partial_pooling": _sloped,
    "ensemble": _averaged,
}


def _own(promoted: Promoted) -> pd.DataFrame:
    """Parts for the target of the row, as rows of ``models``.

    The others are the models of a cascade whose scores are factors.
    """
    target = promoted.target
    parts = [
        entry
        for entry in promoted.record["parts"]
        if entry.get("target", target) == target
    ]
    table = pd.DataFrame(parts).reindex(
        columns=["model_id", "route", "symbol", "predict_first", "weight", *_SLOPES]
    )
    table["predict_first"] = pd.to_datetime(table["predict_first"], utc=True)
    return table.astype(dict.fromkeys((*_SLOPES, "weight"), "float64"))


def _tables(parts: pd.DataFrame, scores: PartScores) -> pd.DataFrame:
    tables = [scores.table(str(part)) for part in parts["model_id"]]
    return pd.concat(tables, ignore_index=True)


def _plan(promoted: Promoted) -> Mapping[str, Any]:
    entry: Mapping[str, Any] | None = promoted.record["routing_plan"]
    if entry is None:
        raise UserError(
            f"{promoted.folder} does not hold the routes of {promoted.target}: promote "
            "the model again."
        )
    return entry
