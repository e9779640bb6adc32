"""Book: the plain long-short book that follows a score, as the leaderboard counts it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ranking_pipeline.portfolio.backtest.engine import run_book
from ranking_pipeline.portfolio.backtest.rules import Rules
from ranking_pipeline.portfolio.backtest.targets import target_weights

Matrix = npt.NDArray[np.float64]


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
    holds for H bars; see :func:`run_book` for what happens on the way. Positions are
    left open at the end, and nothing is paid for borrowed shares.

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
    rules = Rules(
        horizon_bars=horizon_bars,
        lag_bars=lag_bars,
        cost_bps_per_side=cost_bps_per_side,
        borrow_bps_per_year=0.0,
        rebalance_bars=1,
        exit_at_end=False,
        capital_base="leg",
        legs="both",
    )
    path = run_book(targets, returns, rules)
    return Book(path.gross, path.cost, path.net, path.turnover)
