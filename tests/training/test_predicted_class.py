"""The column of predicted classes: the most probable one, null where there is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pandera.errors import SchemaError

from ranking_pipeline.datasets import schemas
from ranking_pipeline.storage import read_table, write_table
from ranking_pipeline.training.predicted_class import with_prediction

NONE = np.nan


def _table(chances: list[list[float]]) -> pd.DataFrame:
    days = pd.date_range("2020-01-01", periods=len(chances), tz="UTC").as_unit("ns")
    values = np.array(chances, dtype=np.float32)
    return pd.DataFrame(
        {
            "timestamp": days,
            "symbol": "A",
            "target": "direction",
            "model_id": "lightgbm:direction",
            "score": np.float32(0.5),
            "prob_short": values[:, 0],
            "prob_neutral": values[:, 1],
            "prob_long": values[:, 2],
        }
    )


def test_the_most_probable_class_is_kept_with_the_table(tmp_path: Path) -> None:
    table = with_prediction(
        _table(
            [
                [0.5, 0.3, 0.2],
                [0.1, 0.2, 0.7],
                [0.4, 0.4, 0.2],  # the lower of two
                [NONE, 0.4, 0.6],  # binary: no short side
                [NONE, 0.5, 0.5],
                [NONE, NONE, NONE],  # a regression
            ]
        )
    )
    assert table["prediction"].tolist() == [-1, 1, -1, 1, 0, pd.NA]
    write_table(schemas.Predictions.validate(table), tmp_path / "predictions.parquet")
    stored = read_table(tmp_path / "predictions.parquet")
    pd.testing.assert_series_equal(stored["prediction"], table["prediction"])


def test_a_table_without_rows_has_the_column() -> None:
    assert with_prediction(_table([[NONE] * 3])[:0])["prediction"].dtype == "Int8"


def test_a_class_that_is_none_is_refused() -> None:
    table = _table([[0.5, 0.3, 0.2]]).assign(prediction=pd.array([2], dtype="Int8"))
    with pytest.raises(SchemaError):
        schemas.Predictions.validate(table)
