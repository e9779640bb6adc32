"""Schemas: each promise of a table is broken once, and noticed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pandera.errors
import pytest

from ranking_pipeline.datasets import schemas

MEASURED = ["open", "high", "low", "close", "volume"]


def bars() -> pd.DataFrame:
    days = pd.date_range("2020-01-01", periods=3, tz="UTC").as_unit("ns")
    return pd.DataFrame(
        {
            "timestamp": np.repeat(days, 2),
            "symbol": ["A", "B"] * 3,
            "open": 10.0,
            "high": 11.0,
            "low": 9.0,
            "close": 10.5,
            "volume": 0.0,
            "tradable": True,
        }
    ).astype(dict.fromkeys(MEASURED, np.float32))


def test_good_bars_pass() -> None:
    schemas.Bars.validate(bars())


@pytest.mark.parametrize(
    "damage",
    [
        lambda f: f.iloc[::-1],
        lambda f: pd.concat([f, f.iloc[-1:]]),
        lambda f: f.assign(close=[10.5] * 5 + [-1]),
        lambda f: f.assign(close=[10.5] * 5 + [np.nan]),
        lambda f: f.assign(high=[11.0] * 5 + [10.0]),
        lambda f: f.assign(volume=[0.0] * 5 + [-1.0]),
        lambda f: f.assign(timestamp=f["timestamp"].dt.tz_localize(None)),
        lambda f: f.drop(columns="tradable"),
    ],
)
def test_a_broken_promise_is_noticed(
    damage: Callable[[pd.DataFrame], pd.DataFrame],
) -> None:
    broken = damage(bars()).reset_index(drop=True)
    broken = broken.astype(dict.fromkeys(MEASURED, np.float32))
    with pytest.raises((pandera.errors.SchemaError, pandera.errors.SchemaErrors)):
        schemas.Bars.validate(broken)


def test_predictions_must_be_finite_and_keys_may_repeat_over_models() -> None:
    frame = bars()[["timestamp", "symbol"]].assign(
        target="fwd_ret_1d", model_id="m", score=np.float32(1)
    )
    both = pd.concat([frame, frame.assign(model_id="n")], ignore_index=True)
    schemas.Predictions.validate(both)
    broken = frame.assign(score=np.float32(np.inf))
    with pytest.raises(pandera.errors.SchemaError, match="finite"):
        schemas.Predictions.validate(broken)


def test_sorting_is_by_value_not_by_first_appearance() -> None:
    frame = pd.DataFrame({"a": [1, 1, 2], "b": ["x", "y", "a"]})
    assert schemas.is_keyed(frame.assign(a=frame["a"].astype(str)), ["a", "b"])
    assert not schemas.is_keyed(frame.iloc[[1, 0, 2]].astype(str), ["a", "b"])
    assert schemas.is_keyed(frame.iloc[:0].astype(str), ["a", "b"])
