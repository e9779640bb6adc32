"""Indicators of a sector's names on daily bars: slope of the moving average, momentum."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ranking_pipeline.panel import IntArray, Panel

Array = npt.NDArray[np.float64]

# A moving average needs a quarter of its window, and never fewer bars than these.
_FEWEST_BARS, _WINDOW_SHARE = 5, 4


def traded_closes(panel: Panel) -> Array:
    """Closes at which a trade took place, shape (S, T), NaN elsewhere.

    A bar without volume only repeats a price. Bars before a symbol joined the universe
    count: they were known all the same.
    """
    volume = panel.field("volume")
    closes = panel.field("close").astype(np.float64)
    closes[volume == 0] = np.nan
    return closes


@dataclass(frozen=True)
class Closes:
    """Closes of all symbols, and where each was seen last.

    Attributes
    ----------
    values : ndarray, shape (S, T)
    seen : ndarray of int, shape (S, T)
        The latest bar up to each with a close; -1 where there is none yet.
    """

    values: Array
    seen: npt.NDArray[np.intp]

    @classmethod
    def of(cls, values: Array) -> Closes:
        """Note where each symbol's close was seen last."""
        bars = np.arange(values.shape[1])
        seen = np.maximum.accumulate(np.where(np.isfinite(values), bars, -1), axis=1)
        return cls(values, seen)

    def momentum(self, rows: IntArray, bar: int, lag_bars: int) -> Array:
        """Return of the close over the last close at or before ``lag_bars`` earlier.

        Parameters
        ----------
        rows : ndarray of int, shape (n,)
            Symbols.
        bar, lag_bars : int

        Returns
        -------
        ndarray, shape (n,)
            ``close[bar] / close[bar - lag] - 1`` as a share; NaN where either lacks.
        """
        if lag_bars > bar:
            return np.full(len(rows), np.nan)
        place = self.seen[rows, bar - lag_bars]
        before = self.values[rows, place]
        before[place < 0] = np.nan
        return np.asarray(self.values[rows, bar] / before - 1.0)

    def moving_average(self, rows: IntArray, bar: int, width: int) -> Array:
        """Mean close of the last ``width`` bars of some symbols, shape (n,).

        NaN under ``max(5, width // 4)`` closes in the window. The window is summed by
        itself, so that the same bars give the same bits wherever the panel begins.
        """
        window = self.values[rows, max(bar - width + 1, 0) : max(bar + 1, 0)]
        there = np.isfinite(window)
        count = there.sum(axis=1)
        total = np.where(there, window, 0.0).sum(axis=1)
        enough = count >= max(_FEWEST_BARS, width // _WINDOW_SHARE)
        return np.where(enough, total / np.maximum(count, 1), np.nan)

    def moving_average_slope(
        self, rows: IntArray, bar: int, width: int, step_bars: int
    ) -> Array:
        """Change of the moving average over ``step_bars``, as a share, shape (n,)."""
        before = self.moving_average(rows, bar - step_bars, width)
        return np.asarray(self.moving_average(rows, bar, width) / before - 1.0)
