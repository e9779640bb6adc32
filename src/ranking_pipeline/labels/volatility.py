"""Volatility known at bar t, in units of one bar's return, that scales the barriers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

ALL_NEEDED = 10  # up to this width a window needs all returns, above it two thirds


def rolling_volatility(close: Array, bars: int) -> Array:
    """Compute the standard deviation (ddof 1) of ``bars`` returns, shape (S, T).

    NaN where fewer than two thirds of them are valid (all, up to 10 bars).
    """
    needed = bars if bars <= ALL_NEEDED else -(-2 * bars // 3)
    return _deviation(_returns(close), bars, 1.0, needed)


def weighted_volatility(close: Array, span: int, min_bars: int) -> Array:
    """Compute the exponentially weighted volatility of returns, shape (S, T).

    Weights (1 - 2/(span+1))^age over the last ``span`` returns, unbiased for unequal
    weights as in pandas; what is older (13.5 % of the weights) is left out, so that the
    value depends on its own window only. NaN below ``min_bars`` valid returns.

    Source: López de Prado (2018), chapter 3.
    """
    return _deviation(_returns(close), span, 1.0 - 2.0 / (span + 1.0), min_bars)


def _returns(close: Array) -> Array:
    returns = np.full_like(close, np.nan)
    returns[:, 1:] = close[:, 1:] / close[:, :-1] - 1.0
    return returns


def _deviation(returns: Array, width: int, decay: float, needed: int) -> Array:
    """Weighted standard deviation over t-width+1 ... t, weights decay^age.

    In two passes, mean first, each from the newest return to the oldest: the same
    window gives the same bits wherever the history starts.
    """
    valid = np.isfinite(returns)
    filled = np.where(valid, returns, 0.0)
    count, weight, squares, total = (np.zeros_like(filled) for _ in range(4))
    ages = range(min(width, returns.shape[-1]))
    for age in ages:
        stop = returns.shape[-1] - age
        present = valid[:, :stop] * decay**age
        count[:, age:] += valid[:, :stop]
        weight[:, age:] += present
        squares[:, age:] += present * present
        total[:, age:] += present * filled[:, :stop]
    centre = total / np.where(weight > 0, weight, 1.0)
    spread = np.zeros_like(filled)
    for age in ages:
        stop = returns.shape[-1] - age
        gap = np.where(valid[:, :stop], filled[:, :stop] - centre[:, age:], 0.0)
        spread[:, age:] += decay**age * gap * gap
    known = (count >= needed) & (weight > 0)
    weight = np.where(known, weight, 1.0)
    unbiased = weight - squares / weight
    variance = spread / np.where(unbiased > 0, unbiased, np.nan)
    return np.where(known, np.sqrt(variance), np.nan)
