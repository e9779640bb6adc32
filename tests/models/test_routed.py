"""Routed scores, cell by cell, by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ranking_pipeline.models.collect import MODEL_COLUMNS, join_predictions
from ranking_pipeline.models.routed import routed

DAYS = pd.to_datetime(["2020-01-01", "2020-01-02"], utc=True).astype(
    "datetime64[ns, UTC]"
)
PLAN = {
    "targets": {
        "ret": {
            "route": "CROSS_SECTIONAL",
            "symbols": {
                "A": {"route": "SYMBOL_SPECIFIC"},
                "B": {"route": "BOTH"},
                "C": {"route": "BLOCKED"},
                "D": {"route": "CROSS_SECTIONAL"},
                "F": {"route": "SYMBOL_SPECIFIC"},
            },
        }
    }
}


Row = dict[str, Any]


def _model(model_id: str, route: str, symbol: str = "", n_rows: int = 10) -> Row:
    row: dict[str, Any] = dict.fromkeys(MODEL_COLUMNS, "")
    family = model_id.partition(":")[0]
    row |= {"model_id": model_id, "target": "ret", "family": family, "route": route}
    row |= {"symbol": symbol, "seed": 1, "n_rows": n_rows}
    row |= {"train_first": DAYS[0], "train_last": DAYS[1]}
    return row


def _scores(model_id: str, cells: dict[tuple[int, str], float]) -> pd.DataFrame:
    table = pd.DataFrame(
        {
            "timestamp": DAYS[[day for day, _ in cells]],
            "symbol": [symbol for _, symbol in cells],
            "target": "ret",
            "model_id": model_id,
            "score": np.array(list(cells.values()), dtype=np.float32),
        }
    )
    chances = ("prob_short", "prob_neutral", "prob_long")
    return table.assign(**dict.fromkeys(chances, np.float32("nan")))


POOLED = dict(zip([(0, s) for s in "ABCDEF"], [1.0, 2, 3, 4, 5, 6], strict=True)) | {
    (1, "A"): 1.0,
    (1, "C"): 9.0,
}
OWN = {
    "A": {(0, "A"): -10.0, (1, "A"): -20.0},
    "B": {(0, "B"): 8.0},
    "C": {(0, "C"): 100.0},
}


def _run(pooled: tuple[str, ...]) -> tuple[pd.DataFrame, pd.DataFrame]:
    models = [_model(f"{f}:ret", "cross_sectional") for f in pooled]
    models += [_model(f"ridge:ret:{s}", "symbol_specific", s, 3) for s in OWN]
    tables = [_scores(f"{f}:ret", POOLED) for f in pooled]
    tables += [_scores(f"ridge:ret:{s}", cells) for s, cells in OWN.items()]
    return routed(PLAN, pd.DataFrame(models), join_predictions(tables))


def _cells(predictions: pd.DataFrame, model_id: str) -> dict[tuple[int, str], float]:
    rows = predictions[predictions["model_id"] == model_id]
    days = [list(DAYS).index(t) for t in rows["timestamp"]]
    return dict(zip(zip(days, rows["symbol"], strict=True), rows["score"], strict=True))


def test_each_cell_follows_the_route_of_its_symbol() -> None:
    models, predictions = _run(("lightgbm", "xgboost"))
    assert list(models["model_id"]) == [
        "lightgbm+ridge:ret:routed",
        "xgboost+ridge:ret:routed",
    ]
    first = models.iloc[0]
    assert (first["family"], first["route"], first["n_rows"]) == (
        "lightgbm+ridge",
        "routed",
        19,
    )
    assert _cells(predictions, "lightgbm+ridge:ret:routed") == {
        (0, "A"): -10,  # own
        (0, "B"): 5,  # mean of 2 and 8
        (0, "C"): 5,  # blocked: median of -10, 5, 4, 5, 6
        (0, "D"): 4,  # pooled by its route
        (0, "E"): 5,  # not in the plan: pooled
        (0, "F"): 6,  # its own model failed: pooled
        (1, "A"): -20,
        (1, "C"): -20,  # blocked: median of what is left
    }
    assert predictions["score"].dtype == np.float32


def test_without_a_pooled_model_the_rest_has_no_opinion() -> None:
    models, predictions = _run(())
    assert list(models["model_id"]) == ["ridge:ret:routed"]
    assert _cells(predictions, "ridge:ret:routed") == {
        (0, "A"): -10,
        (0, "B"): 8,
        (0, "C"): -1,  # median of -10 and 8
        (1, "A"): -20,
    }


def test_a_bar_without_any_score_has_no_row() -> None:
    own = {"A": {(0, "A"): -10.0}, "C": {(1, "C"): 5.0}}  # C is blocked
    models = [_model(f"ridge:ret:{s}", "symbol_specific", s, 3) for s in own]
    tables = [_scores(f"ridge:ret:{s}", cells) for s, cells in own.items()]
    _, predictions = routed(PLAN, pd.DataFrame(models), join_predictions(tables))
    assert _cells(predictions, "ridge:ret:routed") == {(0, "A"): -10}


def test_nothing_routed_adds_nothing() -> None:
    models = pd.DataFrame([_model("lightgbm:ret", "cross_sectional")])
    table = join_predictions([_scores("lightgbm:ret", POOLED)])
    new_models, new_predictions = routed(PLAN, models, table)
    assert len(new_models) == len(new_predictions) == 0
    assert list(new_predictions.columns) == list(table.columns)
