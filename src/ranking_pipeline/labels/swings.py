"""Swings: a local extreme inside the window that the price then turns back from."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ranking_pipeline.labels.grammar import SWING_NEIGHBOURS
from ranking_pipeline.labels.volatility import Array

BoolArray = npt.NDArray[np.bool_]


def swing_high(
    high: Array, low: Array, width: Array, lag: int, horizon: int
) -> BoolArray:
    """Tell where a local high of the window is followed by a fall of ``width``.

    Parameters
    ----------
    high, low : ndarray, shape (S, T)
    width : ndarray, shape (S, T)
        Fall that counts, as a share of the local high; as seen from t.
    lag, horizon : int
        The window is t+lag+1 ... t+lag+horizon.

    Returns
    -------
    ndarray of bool, shape (S, T)
        False where the window reaches beyond the last bar.

    Notes
    -----
    A local high lies above the highs of the 3 bars before it and not below those of the
    3 bars after it, all inside the window; of equal highs the first counts. The fall is
    measured from it to the lowest low of the later bars of the window. A missing bar is
    no extreme and refutes none.

    The three lower highs imply a fall of their own: on daily stocks with a horizon of 10
    bars a demand of 0.2 sigma sqrt(H) refuses 1 swing in 500, 0.5 one in 10, 1 half.
    """
    return _turned(high, low, 1.0 - width, lag, horizon)


def swing_low(
    high: Array, low: Array, width: Array, lag: int, horizon: int
) -> BoolArray:
    """Tell where a local low is followed by a rise; see :func:`swing_high`."""
    return _turned(-low, -high, 1.0 + width, lag, horizon)  # the same, upside down


def _turned(
    peak: Array, trough: Array, share: Array, lag: int, horizon: int
) -> BoolArray:
    """Where a local maximum of ``peak`` sees ``trough`` at or below its ``share``."""
    found = np.zeros(peak.shape, dtype=np.bool_)
    n_windows = peak.shape[-1] - lag - horizon
    if n_windows <= 0:
        return found
    extreme, share = _local_maximum(peak), share[:, :n_windows]
    first, last = lag + 1 + SWING_NEIGHBOURS, lag + horizon - SWING_NEIGHBOURS
    deepest = np.full(share.shape, np.nan)
    for ahead in range(lag + horizon - 1, first - 1, -1):
        # Backwards, so that ``deepest`` holds the bars ahead+1 ... lag+horizon.
        following = slice(ahead + 1, ahead + 1 + n_windows)
        deepest = np.fmin(deepest, trough[:, following])
        if ahead <= last:
            here = slice(ahead, ahead + n_windows)
            turned = extreme[:, here] & (deepest <= peak[:, here] * share)
            found[:, :n_windows] |= turned
    return found


def _local_maximum(values: Array) -> BoolArray:
    local = np.isfinite(values)
    for step in range(1, SWING_NEIGHBOURS + 1):
        # Comparisons with a missing value are False: it refutes nothing.
        local[:, step:] &= ~(values[:, :-step] >= values[:, step:])
        local[:, :-step] &= ~(values[:, step:] > values[:, :-step])
    return local
