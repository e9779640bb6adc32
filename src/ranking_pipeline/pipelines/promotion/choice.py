"""Choice: the fitted models behind the row of the leaderboard that is promoted."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ranking_pipeline.errors import UserError
from ranking_pipeline.evaluation.model_scores import members
from ranking_pipeline.storage import number_or_null

# What a prediction needs besides the files to join the scores of several models.
_KEPT = ("target", "family", "route", "symbol", "seed", "window", "predict_first")
_SLOPES = ("calibration_slope", "calibration_error")
_ROUTED = ("routed", "partial_pooling")


def parts_of(
    row: Mapping[str, Any], models: pd.DataFrame
) -> tuple[list[dict[str, Any]], bool]:
    """Fitted models behind a row, and whether it needs the routes of its target.

    A model that is refitted as time goes on gives its newest refit; a row of models of
    single symbols gives all of them. A row that is made of other rows' scores (routed,
    partially pooled, an ensemble) gives exactly its parts, with their weights where it
    has weights; a model of a cascade also those whose scores are its factors.

    Raises
    ------
    UserError
        When the table of models does not know the row, or does not tell parts.
    """
    if "parts" not in models:
        raise UserError(
            "promotion: the table models does not tell the parts of its rows; it is of "
            "an older version. Run kedro run --pipelines=train again."
        )
    names = members([models], row["model_id"], row["target"])
    own = models[models["model_id"].isin(names)]
    derived = bool(own["route"].isin(_ROUTED).any())
    weights = _weights(own)
    own = models[models["model_id"].isin(_closed(names, models))]
    own = own[own["path"].astype(str) != ""]
    if own.empty:
        raise UserError(
            f"promotion.model_id: the leaderboard has {row['model_id']!r}, and the table "
            "models of the latest training does not: run kedro run "
            "--pipelines=evaluation again, then promote."
        )
    newest = own.sort_values(["model_id", "window"]).groupby("model_id").tail(1)
    parts = [_part(part) for part in _named(newest)]
    for part in parts:
        if part["model_id"] in weights:
            part["weight"] = weights[part["model_id"]]
    return parts, derived


def _closed(names: Sequence[str], models: pd.DataFrame) -> list[str]:
    """Rows with all that they are made of, and what those are made of."""
    found = list(names)
    for name in found:  # it grows on the way
        own = models.loc[models["model_id"] == name, "parts"].astype(str)
        told = [part for text in own if text for part in json.loads(text)]
        found += [part for part in dict.fromkeys(told) if part not in found]
    return found


def _weights(own: pd.DataFrame) -> dict[str, float]:
    """Weights of the parts of an ensemble, by their ids; none for any other row."""
    return {
        part: weight
        for row in _named(own)
        if row["weights"]
        for part, weight in zip(
            json.loads(row["parts"]), json.loads(row["weights"]), strict=True
        )
    }


def _named(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as mappings from the names of their columns."""
    records = rows.to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in records]


def _part(row: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: _plain(row[name]) for name in (*_KEPT, *_SLOPES)}
    return {"model_id": row["model_id"], "key": str(row["path"])[-64:], **kept}


def _plain(value: Any) -> Any:
    """Turn a cell into a JSON value; a number that is not known is null."""
    if isinstance(value, pd.Timestamp):
        return value.isoformat()
    if isinstance(value, np.generic):
        value = value.item()
    return number_or_null(value) if isinstance(value, float) else value


def measures(row: Mapping[str, Any]) -> dict[str, float | None]:
    """Rank IC on validation, its block t, and the net return per bar."""
    names = {
        "rank_ic": "validation_ic",
        "ic_t": "validation_t",
        "net_bps_per_bar": "validation_net_bps",
    }
    return {name: _plain(float(row[column])) for name, column in names.items()}
