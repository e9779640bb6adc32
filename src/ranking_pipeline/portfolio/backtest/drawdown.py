"""Drawdown: how far an account falls below its highest value, and when."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Series = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Drawdown:
    """The deepest fall of an account below its highest value so far.

    Attributes
    ----------
    depth : float
        Share of the highest value that was lost, 0 ... 1; NaN without a bar.
    peak_bar, trough_bar, recovery_bar : int or None
        Positions on the time axis: the last bar of the highest value, the lowest bar,
        and the first bar back at the peak. An account that only fell has its peak on
        the bar before the first return. None where there is no such bar: nothing was
        lost, the fall began with the first bar of the axis, or the peak was not reached
        again.
    """

    depth: float
    peak_bar: int | None
    trough_bar: int | None
    recovery_bar: int | None


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


def max_drawdown(returns: npt.NDArray[np.floating]) -> Drawdown:
    """Find the deepest fall of :func:`equity_curve`, the first of equals.

    Parameters
    ----------
    returns : ndarray, shape (T,)

    Returns
    -------
    Drawdown
    """
    lost = drawdown_curve(returns)
    measured = np.flatnonzero(np.isfinite(lost))
    if len(measured) == 0:
        return Drawdown(float("nan"), None, None, None)
    trough = int(np.nanargmax(lost))
    depth = float(lost[trough])
    if not depth > 0:
        return Drawdown(0.0, None, None, None)
    before = np.flatnonzero(lost[: trough + 1] == 0)
    peak = int(before[-1]) if len(before) else int(measured[0]) - 1
    start = peak if peak >= 0 else None
    after = np.flatnonzero(lost[trough:] == 0)
    recovery = trough + int(after[0]) if len(after) else None
    return Drawdown(depth, start, trough, recovery)
