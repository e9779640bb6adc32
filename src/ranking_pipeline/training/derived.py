"""Derived models: rows of the tables for scores that are made of other models' scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ranking_pipeline.training.collect import (
    MODEL_COLUMNS,
    join_predictions,
    parts_text,
)
from ranking_pipeline.training.fit import PROBABILITIES


def as_tables(
    rows: list[dict[str, Any]], tables: list[pd.DataFrame], like: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Put new rows of models and of predictions into tables of the known types."""
    made = pd.DataFrame(rows, columns=list(MODEL_COLUMNS))
    return made.astype(like.dtypes.to_dict()), join_predictions(tables)


def without_chances(cells: pd.DataFrame, score: Any) -> pd.DataFrame:
    """Give cells a score; the probabilities of classes are not known."""
    unknown = dict.fromkeys(PROBABILITIES, np.float32(np.nan))
    return cells.assign(score=score, **unknown)


def spanning(parts: pd.DataFrame) -> dict[str, Any]:
    """Row of a model that is made of others: their span and rows, no file of its own."""
    return {
        "symbol": "",
        "network": "",
        "loss": "",
        "window": 0,
        "train_first": parts["train_first"].min(),
        "train_last": parts["train_last"].max(),
        "predict_first": parts["predict_first"].min(),
        "predict_last": parts["predict_last"].max(),
        "n_rows": int(parts["n_rows"].sum()),
        "calibration_slope": np.nan,
        "calibration_error": np.nan,
        "path": "",
        "sha256": "",
        "parts": parts_text(list(dict.fromkeys(parts["model_id"]))),
        "weights": "",
    }


def strategy_suffix(row: Mapping[str, Any] | pd.Series) -> str:
    """The part of a model's id that names its strategy, or "" where it learned alone.

    Parameters
    ----------
    row : mapping or Series
        Row of ``models`` of a fitted model: model_id, family and target.
    """
    model_id = str(row["model_id"])
    head = f"{row['family']}:{row['target']}"
    return model_id.removeprefix(head).removesuffix(seed_suffix(model_id))


def seed_suffix(model_id: Any) -> str:
    """The part of a model's id that names its seed, or "" where there is one seed."""
    return "".join(str(model_id).partition(":seed")[1:])
