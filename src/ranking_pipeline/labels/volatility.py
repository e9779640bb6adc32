"""Volatility known at bar t, in units of one bar's return, that scales the barriers."""

from __future__ import annotations

import numpy as np

from ranking_pipeline.features.windows import (
    Array,
    Pyramid,
    lag,
    standard_deviation,
)


def _returns(close: Array) -> Array:
    return close / lag(close, 1) - 1.0


def rolling_volatility(close: Array, bars: int) -> Array:
    """Compute the standard deviation (ddof 1) of ``bars`` returns, shape (S, T).

    NaN where fewer than two thirds of them are valid (all, up to 10 bars).
    """
    return standard_deviation(Pyramid(_returns(close)), bars)


def weighted_volatility(close: Array, span: int, min_bars: int) -> Array:
    """Compute the exponentially weighted volatility of returns, shape (S, T).

    Weights (1 - 2/(span+1))^age over the last ``span`` returns, unbiased for unequal
    weights as in pandas; what is older (13.5 % of the weights) is left out, so that the
    value depends on its own window only. NaN below ``min_bars`` valid returns.

    Source: López de Prado (2018), chapter 3.
    """
    returns = _returns(close)
    valid = np.isfinite(returns)
    filled = np.where(valid, returns, 0.0)
    decay = 1.0 - 2.0 / (span + 1.0)
    count, weight, squares, total = (np.zeros_like(filled) for _ in range(4))
    ages = range(min(span, close.shape[-1]))
    for age in ages:
        stop = close.shape[-1] - age
        present = valid[:, :stop] * decay**age
        count[:, age:] += valid[:, :stop]
        weight[:, age:] += present
        squares[:, age:] += present * present
        total[:, age:] += present * filled[:, :stop]
    centre = total / np.where(weight > 0, weight, 1.0)
    spread = np.zeros_like(filled)
    for age in ages:
        stop = close.shape[-1] - age
        gap = np.where(valid[:, :stop], filled[:, :stop] - centre[:, age:], 0.0)
        spread[:, age:] += decay**age * gap * gap
    known = (count >= min_bars) & (weight > 0)
    weight = np.where(known, weight, 1.0)
    unbiased = weight - squares / weight
    variance = spread / np.where(unbiased > 0, unbiased, np.nan)
    return np.where(known, np.sqrt(variance), np.nan)
