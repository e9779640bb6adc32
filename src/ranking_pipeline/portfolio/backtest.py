"""Backtest: what a long-short book that follows a score earns, and what it costs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ranking_pipeline.evaluation.metrics import (
    descending_places,
    tail_size,
    tails,
)

Matrix = npt.NDArray[np.float64]
BPS = 1e-4


@dataclass(frozen=True)
class Book:
    """Result of a backtest, one value per bar; NaN before the first trade.

    Attributes
    ----------
    gross : ndarray, shape (T,)
        Return over the bar, as a share of capital.
    cost : ndarray, shape (T,)
        Paid at the close of the bar, as a share of capital.
    net : ndarray, shape (T,)
        ``gross - cost``.
    turnover : ndarray, shape (T,)
        Sum of |target weight - drifted weight| of the book that trades at this close:
        2 on entry, at most about 4. NaN where no book trades.
    """

    gross: npt.NDArray[np.float64]
    cost: npt.NDArray[np.float64]
    net: npt.NDArray[np.float64]
    turnover: npt.NDArray[np.float64]


def target_weights(
    score: npt.NDArray[np.floating], tail_share: float, min_symbols: int = 2
) -> Matrix:
    """Equal weights, +1 over the top tail and -1 over the bottom tail of each bar.

    Parameters
    ----------
    score : ndarray, shape (T, S)
        NaN where a symbol cannot be chosen; ties go by (-score, column).
    tail_share : float
        Share of the symbols in each tail.
    min_symbols : int
        A bar with fewer scores has no target.

    Returns
    -------
    ndarray of float64, shape (T, S); a row of NaN where there is no target.
    """
    longs, shorts = tails(score, tail_share)
    size = longs.sum(axis=1)
    signs = longs.astype(np.float64) - shorts.astype(np.float64)
    weights: Matrix = signs / np.maximum(size, 1)[:, None]
    untargeted = (size == 0) | (np.isfinite(score).sum(axis=1) < min_symbols)
    weights[untargeted] = np.nan
    return weights


def banded_weights(
    score: npt.NDArray[np.floating],
    tail_share: float,
    band_share: float,
    *,
    horizon_bars: int = 1,
    min_symbols: int = 2,
) -> Matrix:
    """Weights like :func:`target_weights` that hold on to names near the tail.

    A name that is held stays while its place is inside the wider band; only the places
    that it leaves are filled, with the best names that are not held. Turnover falls, at
    the price of a slightly weaker score in the book.

    Parameters
    ----------
    score : ndarray, shape (T, S)
    tail_share : float
        Share of the symbols in each tail.
    band_share : float
        Share of the symbols, ``tail_share`` ... 0.5, within which a held name stays.
        At ``tail_share`` the result is :func:`target_weights`.
    horizon_bars : int
        A book is renewed every so many bars: it holds on to its own names.
    min_symbols : int

    Returns
    -------
    ndarray of float64, shape (T, S); a row of NaN where there is no target.
    """
    if not tail_share <= band_share <= 0.5:
        raise ValueError(f"band_share must be in [{tail_share}, 0.5], not {band_share}")
    best, n = descending_places(score)
    worst = np.where(np.isfinite(score), n[:, None] - 1 - best, score.shape[1])
    size, band = tail_size(n, tail_share), tail_size(n, band_share)
    weights = np.full(score.shape, np.nan)
    held = np.zeros((horizon_bars, 2, score.shape[1]), dtype=np.bool_)
    for bar in np.flatnonzero((n >= min_symbols) & (size > 0)):
        book = held[bar % horizon_bars]
        for leg, places in enumerate((best[bar], worst[bar])):
            # held names inside the band come first, then the others by place
            key = np.where(
                book[leg] & (places < band[bar]), places - len(places), places
            )
            book[leg] = False
            book[leg, np.argsort(key, kind="stable")[: size[bar]]] = True
        weights[bar] = (book[0].astype(float) - book[1].astype(float)) / size[bar]
    return weights


def backtest(
    score: npt.NDArray[np.floating],
    returns: npt.NDArray[np.floating],
    *,
    horizon_bars: int,
    lag_bars: int,
    tail_share: float,
    cost_bps_per_side: float,
    min_symbols: int = 2,
) -> Book:
    """Hold the tails of a score in ``horizon_bars`` staggered books.

    The score of bar t is traded at the close of bar t + lag by book t mod H, which then
    holds for H bars; every book has 1/H of the capital, topped up or skimmed to that
    share each bar without cost. Between trades weights drift with prices. A symbol
    without a return at the trading bar is halted and keeps its weight; one that never
    trades again earns nothing more, which is a free settlement at its last price. A
    book whose loss exceeds its capital is closed, and enters anew at its next turn.
    Costs are booked apart from the capital, so they do not move weights.

    Parameters
    ----------
    score : ndarray, shape (T, S)
        Known at the close of bar t; NaN where a symbol cannot be chosen.
    returns : ndarray, shape (T, S)
        Return of bar t over the previous bar, NaN on a halt; see ``bar_returns``.
    horizon_bars, lag_bars : int
    tail_share : float
    cost_bps_per_side : float
        Basis points of the traded notional.
    min_symbols : int
        A bar with fewer scores is not traded on; the book holds what it has.

    Returns
    -------
    Book
    """
    targets = target_weights(score, tail_share, min_symbols)
    return hold(targets, returns, horizon_bars, lag_bars, cost_bps_per_side)


def hold(
    targets: Matrix,
    returns: npt.NDArray[np.floating],
    horizon_bars: int,
    lag_bars: int,
    cost_bps_per_side: float,
) -> Book:
    """Carry out target weights as :func:`backtest` describes.

    Parameters
    ----------
    targets : ndarray, shape (T, S)
        Wanted weights per decision bar; a row of NaN means no trade.
    returns : ndarray, shape (T, S)
    horizon_bars, lag_bars : int
    cost_bps_per_side : float

    Returns
    -------
    Book
    """
    n_bars, n_symbols = targets.shape
    trades = np.asarray(np.isfinite(returns))
    moves = np.where(trades, returns, 0.0).astype(np.float64)
    wanted = np.asarray(np.isfinite(targets).any(axis=1))
    weights = np.zeros((horizon_bars, n_symbols))
    gross, turnover = np.full(n_bars, np.nan), np.full(n_bars, np.nan)
    first = int(np.argmax(wanted)) + lag_bars if np.any(wanted) else n_bars
    for bar in range(first, n_bars):
        gross[bar] = _drift(weights, moves[bar])
        decision = bar - lag_bars
        if wanted[decision]:
            book = weights[decision % horizon_bars]
            change = np.where(trades[bar], targets[decision] - book, 0.0)
            turnover[bar] = np.abs(change).sum()
            book += change
    cost = np.nan_to_num(turnover) * (cost_bps_per_side * BPS / horizon_bars)
    cost[:first] = np.nan
    return Book(gross, cost, gross - cost, turnover)


def _drift(weights: Matrix, move: npt.NDArray[np.float64]) -> float:
    """Move all books by one bar, in place; return the mean of their returns."""
    gains = weights @ move
    equity = 1.0 + gains
    solvent = equity > 0
    weights *= 1.0 + move
    weights /= np.where(solvent, equity, np.inf)[:, None]
    return float(np.mean(gains))


def sharpe(returns: npt.NDArray[np.floating], periods: float) -> float:
    """Annual Sharpe ratio: mean over standard deviation (ddof 1), times √periods.

    Parameters
    ----------
    returns : ndarray, shape (T,)
        Per bar; NaN bars are left out.
    periods : float
        Bars per year.

    Returns
    -------
    float
        NaN with fewer than two bars or no variation.
    """
    finite = returns[np.isfinite(returns)]
    deviation = float(finite.std(ddof=1)) if len(finite) > 1 else 0.0
    if not deviation > 0:
        return float("nan")
    return float(finite.mean()) / deviation * float(np.sqrt(periods))


def expected_best_sharpe(n_trials: int, n_bars: int, periods: float) -> float:
    """Annual Sharpe ratio that the luckiest of ``n_trials`` skill-less books shows.

    Parameters
    ----------
    n_trials : int
        Independent trials.
    n_bars : int
        Bars over which each was measured.
    periods : float
        Bars per year.

    Returns
    -------
    float
        NaN with fewer than two trials or no bar.

    References
    ----------
    Bailey and López de Prado (2014), The Deflated Sharpe Ratio.
    """
    from scipy.stats import norm

    if n_trials <= 1 or n_bars < 1:
        return float("nan")
    euler = float(np.euler_gamma)
    best = (1 - euler) * norm.ppf(1 - 1 / n_trials)
    best += euler * norm.ppf(1 - 1 / (n_trials * np.e))
    return float(best) * float(np.sqrt(periods / n_bars))
