"""Schemas of candidate selection: what its tables promise, checked on every save."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pandera.pandas as pa
from pandera.typing import Series

from ranking_pipeline.datasets.schemas import Timestamp, is_keyed


class SectorIndicators(pa.DataFrameModel):
    """One row per month of trading and name, sorted by (month, symbol)."""

    month: Series[pd.StringDtype] = pa.Field(str_matches=r"^\d{4}-\d{2}$", coerce=True)
    timestamp: Series[Timestamp]
    symbol: Series[pd.StringDtype] = pa.Field(coerce=True)
    sector: Series[pd.StringDtype] = pa.Field(coerce=True)
    ma_slope: Series[np.float32] = pa.Field(nullable=True)
    momentum: Series[np.float32] = pa.Field(nullable=True)
    volatility: Series[np.float32] = pa.Field(gt=0.0, nullable=True)
    volatility_source: Series[pd.StringDtype] = pa.Field(
        isin=["garch", "ewma", ""], coerce=True
    )
    composite_score: Series[np.float32] = pa.Field(nullable=True)
    status: Series[pd.StringDtype] = pa.Field(coerce=True)

    @pa.dataframe_check(error="rows are not sorted by (month, symbol), or repeat")
    @classmethod
    def keyed(cls, frame: pd.DataFrame) -> bool:
        """One row per (month, symbol), in that order."""
        return is_keyed(frame, ["month", "symbol"])


class SectorCandidates(pa.DataFrameModel):
    """One row per candidate, decided before its month of trading begins."""

    month: Series[pd.StringDtype] = pa.Field(str_matches=r"^\d{4}-\d{2}$", coerce=True)
    timestamp: Series[Timestamp]
    asof_date: Series[pd.StringDtype] = pa.Field(coerce=True)
    sector: Series[pd.StringDtype] = pa.Field(coerce=True)
    gics_code: Series[pd.StringDtype] = pa.Field(coerce=True)
    symbol: Series[pd.StringDtype] = pa.Field(coerce=True)
    composite_score: Series[np.float32]
    candidate_type: Series[pd.StringDtype] = pa.Field(
        isin=["long", "short"], coerce=True
    )
    rank: Series[int] = pa.Field(gt=0, coerce=True)

    @pa.dataframe_check(error="rows are not sorted by (month, sector, symbol)")
    @classmethod
    def keyed(cls, frame: pd.DataFrame) -> bool:
        """One row per (month, sector, symbol), in that order."""
        return is_keyed(frame, ["month", "sector", "symbol"])

    @pa.dataframe_check(error="a symbol occurs twice in a month")
    @classmethod
    def once_a_month(cls, frame: pd.DataFrame) -> bool:
        """A name is a candidate of one leg of one sector."""
        return not frame.duplicated(["month", "symbol"]).any()

    @pa.dataframe_check(error="a candidate is not decided before its month")
    @classmethod
    def decided_before(cls, frame: pd.DataFrame) -> bool:
        """The as-of date lies strictly before the month of trading."""
        return bool((frame["asof_date"].str[:7] < frame["month"]).all())
