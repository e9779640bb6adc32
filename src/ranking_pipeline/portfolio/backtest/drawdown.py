"""Drawdown: how far an account falls below its highest value."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Series = npt.NDArray[np.float64]


def equity_curve(returns: npt.NDArray[np.floating]) -> Series:
    """Value of an account that starts with 1 and reinvests what it earns.

    Parameters
    ----------
    returns : ndarray, shape (T,)
        Per bar; NaN before the first trade, and as 0 after it.

    Returns
    -------
    ndarray of float64, shape (T,)
        At the close of each bar, NaN before the first return. An account that lost all
        it had is at 0 and stays there.
    """
    values = np.asarray(returns, dtype=np.float64)
    finite = np.isfinite(values)
    growth = np.maximum(1.0 + np.where(finite, values, 0.0), 0.0)
    return np.where(np.maximum.accumulate(finite), np.cumprod(growth), np.nan)


def drawdown_curve(returns: npt.NDArray[np.floating]) -> Series:
    """Share of the highest value so far that is lost at each bar, shape (T,), 0 ... 1.

    The capital at the start counts as a value; NaN before the first return.
    """
    equity = equity_curve(returns)
    return 1.0 - equity / np.maximum.accumulate(np.fmax(equity, 1.0))


def max_drawdown(returns: npt.NDArray[np.floating]) -> float:
    """Deepest fall of :func:`equity_curve`, as a share of its highest value so far.

    Parameters
    ----------
    returns : ndarray, shape (T,)

    Returns
    -------
    float
        0 ... 1; NaN without a bar.
    """
    lost = drawdown_curve(returns)
    return float(np.nanmax(lost)) if np.isfinite(lost).any() else float("nan")
