"""Schemas: what the tables that pass between stages promise, checked on every save."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import pandas as pd
import pandera.pandas as pa
from pandera.typing import Series

Timestamp = Annotated[pd.DatetimeTZDtype, "ns", "UTC"]


def is_keyed(frame: pd.DataFrame, key: list[str]) -> bool:
    """Whether the rows are sorted by ``key`` and no key occurs twice."""
    codes = [_sort_codes(frame[column]) for column in key]
    step = np.zeros(max(len(frame) - 1, 0), dtype=np.int8)
    for code in reversed(codes):
        difference = np.sign(np.diff(code)).astype(np.int8)
        step = np.where(difference == 0, step, difference)
    return bool((step > 0).all())


def _sort_codes(column: pd.Series) -> np.ndarray:
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        return column.astype("int64").to_numpy()
    return pd.factorize(column, sort=True)[0]


class KeyedRows(pa.DataFrameModel):
    """One row per bar and symbol, sorted; further columns are the table's own."""

    timestamp: Series[Timestamp]
    symbol: Series[pd.StringDtype] = pa.Field(coerce=True)

    @pa.dataframe_check(error="rows are not sorted by (timestamp, symbol), or repeat")
    @classmethod
    def keyed(cls, frame: pd.DataFrame) -> bool:
        """One row per (timestamp, symbol), in that order."""
        return is_keyed(frame, ["timestamp", "symbol"])


class Bars(KeyedRows):
    """Checked bars: positive prices, high and low around open and close."""

    open: Series[np.float32] = pa.Field(gt=0.0)
    high: Series[np.float32] = pa.Field(gt=0.0)
    low: Series[np.float32] = pa.Field(gt=0.0)
    close: Series[np.float32] = pa.Field(gt=0.0)
    volume: Series[np.float32] = pa.Field(ge=0.0, nullable=True)
    tradable: Series[bool]

    @pa.dataframe_check(error="low or high does not enclose open and close")
    @classmethod
    def enclosed(cls, frame: pd.DataFrame) -> bool:
        """Low <= open, close <= high, up to rounding."""
        body = frame[["open", "close"]]
        slack = 1e-6 * frame["close"]
        below = frame["low"] <= body.min(axis=1) + slack
        above = frame["high"] >= body.max(axis=1) - slack
        return bool((below & above).all())


class SecurityMaster(pa.DataFrameModel):
    """One row per symbol: its sector and the span of its bars."""

    symbol: Series[pd.StringDtype] = pa.Field(unique=True, coerce=True)
    sector: Series[pd.StringDtype] = pa.Field(coerce=True)
    first_timestamp: Series[Timestamp]
    last_timestamp: Series[Timestamp]
    n_bars: Series[int] = pa.Field(gt=0, coerce=True)
    delisted: Series[bool]


class FeatureManifest(pa.DataFrameModel):
    """One row per factor: a feature is a column that is listed here."""

    name: Series[pd.StringDtype] = pa.Field(unique=True, coerce=True)
    group: Series[pd.StringDtype] = pa.Field(coerce=True)
    formula: Series[pd.StringDtype] = pa.Field(coerce=True)
    lookback_bars: Series[int] = pa.Field(ge=0, coerce=True)
    inputs: Series[pd.StringDtype] = pa.Field(coerce=True)
    source: Series[pd.StringDtype] = pa.Field(coerce=True)
    sets: Series[pd.StringDtype] = pa.Field(coerce=True)
    interval: Series[pd.StringDtype] = pa.Field(coerce=True)
    window: Series[pd.StringDtype] = pa.Field(
        isin=["bars", "session", "history"], coerce=True
    )
    lookback_sessions: Series[int] = pa.Field(ge=0, coerce=True)


class TargetManifest(pa.DataFrameModel):
    """One row per label column: task, horizon, and the return that it earns."""

    target: Series[pd.StringDtype] = pa.Field(unique=True, coerce=True)
    task: Series[pd.StringDtype] = pa.Field(
        isin=["regression", "binary", "three_class"], coerce=True
    )
    horizon_bars: Series[int] = pa.Field(gt=0, coerce=True)
    entry_lag_bars: Series[int] = pa.Field(ge=0, coerce=True)
    payoff: Series[pd.StringDtype] = pa.Field(coerce=True)
    is_target: Series[bool]


class TargetRankings(pa.DataFrameModel):
    """One row per evaluated target, best first."""

    rank: Series[int] = pa.Field(gt=0, coerce=True)
    target: Series[pd.StringDtype] = pa.Field(unique=True, coerce=True)
    skill: Series[float] = pa.Field(ge=0.0, le=1.0, nullable=True)
    rankable: Series[bool]
    selected: Series[bool]
    reason: Series[pd.StringDtype] = pa.Field(coerce=True)


class Models(pa.DataFrameModel):
    """One row per trained model."""

    model_id: Series[pd.StringDtype] = pa.Field(unique=True, coerce=True)
    target: Series[pd.StringDtype] = pa.Field(coerce=True)
    family: Series[pd.StringDtype] = pa.Field(coerce=True)
    route: Series[pd.StringDtype] = pa.Field(coerce=True)


class Predictions(pa.DataFrameModel):
    """One finite score per (timestamp, symbol, target, model); a class where it has one."""

    timestamp: Series[Timestamp]
    symbol: Series[pd.StringDtype] = pa.Field(coerce=True)
    target: Series[pd.StringDtype] = pa.Field(coerce=True)
    model_id: Series[pd.StringDtype] = pa.Field(coerce=True)
    score: Series[np.float32]
    prediction: Series[pd.Int8Dtype] | None = pa.Field(isin=[-1, 0, 1], nullable=True)

    @pa.dataframe_check(error="a score is not finite: an absent score is an absent row")
    @classmethod
    def finite(cls, frame: pd.DataFrame) -> bool:
        """Scores are finite numbers."""
        return bool(np.isfinite(frame["score"].to_numpy()).all())
