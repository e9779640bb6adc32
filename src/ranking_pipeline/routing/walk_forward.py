"""Walk-forward: when each model is trained, and the months that it then predicts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.panel import Panel
from ranking_pipeline.splits import Splits
from ranking_pipeline.training.config import WalkForwardConfig
from ranking_pipeline.training.window import WindowBars

Months = npt.NDArray[np.int64]


@dataclass(frozen=True)
class TimeAxis:
    """The bars of a market, without their prices.

    Attributes
    ----------
    timestamps : ndarray of datetime64[ns], shape (T,)
        Ends of the bars, UTC.
    trading_dates : ndarray of datetime64[D], shape (T,)
        Local date of the session of each bar; months are theirs, also on intraday bars.
    splits : Splits
    """

    timestamps: npt.NDArray[np.datetime64]
    trading_dates: npt.NDArray[np.datetime64]
    splits: Splits

    @classmethod
    def of(cls, panel: Panel, splits: Splits) -> TimeAxis:
        """Take the axis of a panel, after checking that the splits belong to it."""
        splits.verify(panel.timestamps)
        return cls(panel.timestamps, panel.trading_dates, splits)

    @property
    def months(self) -> Months:
        """Months since 1970 of each bar's trading date, shape (T,)."""
        return self.trading_dates.astype("datetime64[M]").astype(np.int64)

    def stamp(self, bar: int) -> str:
        """End of a bar, ISO 8601 in UTC."""
        return pd.Timestamp(self.timestamps[bar]).tz_localize("UTC").isoformat()


@dataclass(frozen=True)
class PlannedWindow:
    """A window of the plan: its number and its bars."""

    number: int
    bars: WindowBars

    def dates(self, axis: TimeAxis) -> dict[str, str]:
        """The four times of a plan row, ISO 8601."""
        return {
            "train_start": axis.stamp(self.bars.train_first),
            "train_end": axis.stamp(self.bars.train_last),
            "predict_start": axis.stamp(self.bars.predict_first),
            "predict_end": axis.stamp(self.bars.predict_last),
        }


def plan_windows(axis: TimeAxis, config: WalkForwardConfig) -> list[PlannedWindow]:
    """Lay the windows over everything after the train block.

    Parameters
    ----------
    axis : TimeAxis
    config : WalkForwardConfig

    Returns
    -------
    list of PlannedWindow
        Without ``refit_months`` the one window 0: trained on the train block, predicting
        all bars after it. Otherwise windows 1, 2, …: they tile the bars from the start
        of validation to the last one, each ``refit_months`` calendar months long (the
        first may begin, the last may end inside a month). The model of a window learns
        from labels that are known ``embargo_bars`` before its first predicted bar, from
        the first bar on or over the last ``train_months`` calendar months.
        Where nothing was traded in those months, one bar is left: too little to fit,
        which training records.
    """
    splits, last = axis.splits, len(axis.timestamps) - 1
    spare = splits.embargo_bars
    if config.refit_months is None:
        train = splits.train
        span = (train.first_bar, train.last_bar - spare)
        return [PlannedWindow(0, WindowBars(*span, splits.validation.first_bar, last))]
    starts = _starts(axis.months, splits.validation.first_bar, config.refit_months)
    ends = [start - 1 for start in starts[1:]] + [last]
    windows = []
    for number, (first, end) in enumerate(zip(starts, ends, strict=True), start=1):
        known = first - 1 - spare
        begin = min(_train_first(axis.months, first, config.train_months), known)
        bars = WindowBars(begin, known, first, end)
        windows.append(PlannedWindow(number, bars))
    return windows


def _starts(months: Months, first_bar: int, refit_months: int) -> list[int]:
    """First bar of each window."""
    group = (months[first_bar:] - months[first_bar]) // refit_months
    new = np.flatnonzero(np.r_[True, np.diff(group) > 0])
    return [int(first_bar + place) for place in new]


def _train_first(months: Months, predict_first: int, train_months: int | None) -> int:
    if train_months is None:
        return 0
    return int(np.searchsorted(months, months[predict_first] - train_months))
