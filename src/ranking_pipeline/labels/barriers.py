"""What the bars after an entry reach: first touches of two barriers, and extremes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ranking_pipeline.labels.volatility import Array


@dataclass(frozen=True)
class Prices:
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


def highest(values: Array, lag: int, horizon: int) -> Array:
    """Find the maximum of the bars t+lag+1 ... t+lag+horizon, shape (S, T).

    Bars that are missing are passed over; NaN where all are, or where the window
    reaches beyond the last bar.
    """
    return _future_extreme("max", values, lag, horizon)


def lowest(values: Array, lag: int, horizon: int) -> Array:
    """Find the minimum; see :func:`highest`."""
    return _future_extreme("min", values, lag, horizon)


def _future_extreme(kind: str, values: Array, lag: int, horizon: int) -> Array:
    import bottleneck

    if lag + horizon >= values.shape[-1]:
        return np.full_like(values, np.nan)
    past = getattr(bottleneck, f"move_{kind}")(values, horizon, min_count=1, axis=-1)
    return lead(past, lag + horizon)


def first_touch(
    prices: Prices, entry: Array, width: Array, lag: int, horizon: int
) -> npt.NDArray[np.int8]:
    """Find which barrier the bars t+lag+1 ... t+lag+horizon touch first.

    Parameters
    ----------
    prices : Prices
    entry, width : ndarray, shape (S, T)
        The barriers stand at entry x (1 ± width), as seen from t.
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
    upper, lower = entry * (1.0 + width), entry * (1.0 - width)
    side = np.zeros(upper.shape, dtype=np.int8)
    for ahead in range(lag + horizon, lag, -1):  # backwards: the earliest touch stays
        up = lead(prices.high, ahead) >= upper
        down = lead(prices.low, ahead) <= lower
        touched = up | down
        here = up.astype(np.int8) - down.astype(np.int8)
        both = np.nonzero(up & down)
        if len(both[0]):
            # The entry lies halfway; the distances themselves would differ by rounding.
            opened = prices.open[both[0], both[1] + ahead]
            here[both] = np.sign(opened - entry[both])
        side[touched] = here[touched]
    return side
