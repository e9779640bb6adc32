"""Market: the equal-weight return of all names, and a book's exposure to it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ranking_pipeline.evaluation.inference import newey_west_t

Series = npt.NDArray[np.float64]
NAN = float("nan")


@dataclass(frozen=True)
class MarketExposure:
    """Regression of a book's returns on those of the market, on common bars.

    Attributes
    ----------
    beta, beta_t : float
        Slope, and its t with Newey-West errors; NaN under three common bars or where
        the market does not move.
    alpha, alpha_t : float
        Mean return per bar that the slope does not explain, and its t.
    n_bars : int
        Bars on which both are known.
    """

    beta: float
    beta_t: float
    alpha: float
    alpha_t: float
    n_bars: int


def market_return(returns: npt.NDArray[np.floating]) -> Series:
    """Mean return of the names that trade at each bar: the market in equal parts.

    Parameters
    ----------
    returns : ndarray, shape (T, S)
        NaN on a halt; its move counts on the bar on which trading resumes.

    Returns
    -------
    ndarray of float64, shape (T,)
        Before costs, brought back to equal parts each bar; NaN where no name trades.
    """
    known = np.isfinite(returns)
    count = known.sum(axis=1)
    total = np.where(known, returns, 0.0).sum(axis=1, dtype=np.float64)
    result = np.full(len(count), np.nan)
    np.divide(total, count, out=result, where=count > 0)
    return result


def market_exposure(
    book: npt.NDArray[np.floating], market: npt.NDArray[np.floating], lags: int
) -> MarketExposure:
    """Slope and intercept of a book's returns on the market's.

    Parameters
    ----------
    book, market : ndarray, shape (T,)
    lags : int
        Of the Newey-West errors.

    Returns
    -------
    MarketExposure

    Notes
    -----
    An estimate's error is the mean of its influence per bar, so the t of a mean does
    for both: of ``beta + x e / mean(x²)`` and ``alpha + e (1 - m x / mean(x²))``, with
    x the market less its mean m and e the residual.
    """
    x, y = np.asarray(market, np.float64), np.asarray(book, np.float64)
    both = np.isfinite(x) & np.isfinite(y)
    n_bars = int(both.sum())
    middle = float(x[both].mean()) if n_bars else NAN
    centred = np.where(both, x - middle, np.nan)
    variance = float(np.mean(centred[both] ** 2)) if n_bars else 0.0
    # a constant market differs from its own mean by rounding only
    if n_bars < 3 or not variance > (1e-12 * abs(middle)) ** 2:
        return MarketExposure(NAN, NAN, NAN, NAN, n_bars)
    beta = float(np.mean(centred[both] * y[both])) / variance
    alpha = float(y[both].mean()) - beta * middle
    residual = np.where(both, y - alpha - beta * x, np.nan)
    slope = beta + centred * residual / variance
    level = alpha + residual * (1.0 - middle * centred / variance)
    return MarketExposure(
        beta, newey_west_t(slope, lags), alpha, newey_west_t(level, lags), n_bars
    )
