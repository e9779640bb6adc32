"""First touch of two barriers by the bars after an entry."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ranking_pipeline.features.windows import Array


@dataclass(frozen=True)
class Bars:
    """Prices of some symbols in float64, each of shape (S, T); NaN where no bar is."""

    open: Array
    high: Array
    low: Array
    close: Array


def lead(values: Array, bars: int) -> Array:
    """Shift to the values ``bars`` later, NaN beyond the last bar; shape (S, T)."""
    shifted = np.full_like(values, np.nan)
    if bars < values.shape[-1]:
        shifted[:, : values.shape[-1] - bars] = values[:, bars:]
    return shifted


def first_touch(
    bars: Bars, upper: Array, lower: Array, lag: int, horizon: int
) -> npt.NDArray[np.int8]:
    """Find which barrier the bars t+lag+1 ... t+lag+horizon touch first.

    Parameters
    ----------
    bars : Bars
    upper, lower : ndarray, shape (S, T)
        Price levels as seen from t; infinite where a side has no barrier.
    lag, horizon : int
        In bars.

    Returns
    -------
    ndarray of int8, shape (S, T)
        1 upper, -1 lower, 0 none. A bar that touches both counts for the barrier nearer
        to its open, 0 when they are equally near.

    Notes
    -----
    A touch is a high at or above the upper, or a low at or below the lower barrier.
    A missing bar touches nothing.
    """
    side = np.zeros(upper.shape, dtype=np.int8)
    for ahead in range(lag + horizon, lag, -1):  # backwards: the earliest touch stays
        up = lead(bars.high, ahead) >= upper
        down = lead(bars.low, ahead) <= lower
        touched = up | down
        here = up.astype(np.int8) - down.astype(np.int8)
        both = np.nonzero(up & down)
        if len(both[0]):
            opened = bars.open[both[0], both[1] + ahead]
            here[both] = np.sign(
                np.abs(opened - lower[both]) - np.abs(upper[both] - opened)
            )
        side[touched] = here[touched]
    return side
