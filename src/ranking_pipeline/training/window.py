"""Window: the span of bars that one model is trained on, and those that it predicts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.errors import UserError

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class WindowBars:
    """A window as positions on the time axis; all ends are included.

    Attributes
    ----------
    train_first, train_last : int
        First bar learned from, and the bar by which every label learned is known. With
        the embargo it lies before ``predict_first``.
    predict_first, predict_last : int
    """

    train_first: int
    train_last: int
    predict_first: int
    predict_last: int

    def known(self, bars: npt.NDArray[Any], label_end: npt.NDArray[Any]) -> BoolArray:
        """Tell which rows may be learned from: decided and known inside the span.

        Parameters
        ----------
        bars, label_end : ndarray of int, shape (n,)
            Bar of the decision and bar at which its label is known, -1 for never.
        """
        inside = (bars >= self.train_first) & (label_end >= 0)
        return np.asarray(inside & (label_end <= self.train_last))

    def first_held_out(self, validation_share: float) -> int:
        """Find the first bar held out for early stopping; one past the span for none.

        Parameters
        ----------
        validation_share : float
            Share of the bars of the span, its last ones.
        """
        n_bars = self.train_last - self.train_first + 1
        return self.train_last + 1 - round(n_bars * validation_share)

    def parted(
        self,
        bars: npt.NDArray[Any],
        label_end: npt.NDArray[Any],
        validation_share: float,
        embargo_bars: int,
    ) -> tuple[BoolArray, BoolArray]:
        """Part the known rows into those to fit and those to stop early on.

        Parameters
        ----------
        bars, label_end : ndarray of int, shape (n,)
        validation_share : float
            Share of the bars of the span, its last ones; 0 keeps all rows for the fit.
        embargo_bars : int
            Bars that stay free between a label's end and the first bar held out.

        Returns
        -------
        fit, held_out : ndarray of bool, shape (n,)
            No label of a fitted row is known later than ``embargo_bars`` before the
            first bar held out.
        """
        known = self.known(bars, label_end)
        cut = self.first_held_out(validation_share)
        if cut > self.train_last:
            return known, np.zeros_like(known)
        fit = known & (label_end + embargo_bars < cut)
        return fit, known & (bars >= cut)


@dataclass(frozen=True)
class Window:
    """One refit of a walk-forward: when it learns, and the months that it predicts.

    Attributes
    ----------
    number
        Counts from 1; it does not change the result.
    train_start, train_end
        First bar learned from, and the bar by which every label learned is known.
    predict_start, predict_end
        First and last bar predicted. All are ISO 8601, UTC, ends of bars.
    validation_share
        Share of the span's bars, its last ones, that serve early stopping.
    min_rows
        Fewest labelled rows to fit; with fewer no model is made.
    """

    number: int
    train_start: str
    train_end: str
    predict_start: str
    predict_end: str
    validation_share: float
    min_rows: int

    def content(self) -> dict[str, Any]:
        """Give what a result depends on: everything but the number."""
        return {name: value for name, value in vars(self).items() if name != "number"}

    def bars(
        self, timestamps: npt.NDArray[np.datetime64], embargo_bars: int
    ) -> WindowBars:
        """Find the window on the time axis of a panel.

        Raises
        ------
        UserError
            When the panel lacks one of its bars, or the training reaches into the
            months that are predicted.
        """
        names = ("train_start", "train_end", "predict_start", "predict_end")
        places = WindowBars(*(self._place(name, timestamps) for name in names))
        if places.train_last + embargo_bars >= places.predict_first:
            raise UserError(
                f"training plan, window {self.number}: train_end {self.train_end} with "
                f"an embargo of {embargo_bars} bars reaches predict_start "
                f"{self.predict_start}; a month is predicted by a model trained before "
                "it. Run routing again."
            )
        return places

    def _place(self, name: str, timestamps: npt.NDArray[np.datetime64]) -> int:
        wanted = to_instant(getattr(self, name))
        place = int(np.searchsorted(timestamps, wanted))
        if place == len(timestamps) or timestamps[place] != wanted:
            raise UserError(
                f"training plan, window {self.number}: {name} {getattr(self, name)} is "
                "no bar of the panel; the two come from different runs. Run routing "
                "again."
            )
        return place


def to_instant(text: str) -> np.datetime64:
    """Read an ISO 8601 time as naive UTC nanoseconds."""
    return pd.Timestamp(text).tz_convert("UTC").tz_localize(None).to_datetime64()
