"""Engine: carries out target weights bar by bar, with what each bar earns and costs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ranking_pipeline.portfolio.backtest.account import Account
from ranking_pipeline.portfolio.backtest.path import BookPath
from ranking_pipeline.portfolio.backtest.rules import Rules

Matrix = npt.NDArray[np.float64]


def run_book(
    targets: npt.NDArray[np.floating],
    returns: npt.NDArray[np.floating],
    rules: Rules,
    delisting_return: npt.NDArray[np.floating] | None = None,
    last_bar: npt.NDArray[np.integer] | None = None,
    *,
    keep_weights: bool = False,
) -> BookPath:
    """Hold target weights in ``rules.n_books`` staggered books.

    The weights of decision bar t are traded at the close of bar t + lag, by the books in
    turn. Every book has an equal share of the capital, topped up or skimmed to that
    share each bar without cost; between trades its weights drift with prices. A symbol
    without a return at the trading bar is halted and keeps its weight. A book whose
    loss exceeds its capital is closed, and enters anew at its next turn. Costs and
    borrow are booked apart from the capital, so they do not move weights.

    Nothing looks ahead: bar t depends on returns up to t, on targets up to t - lag, and
    on ``last_bar`` and ``delisting_return`` of names whose last bar is before t.

    Parameters
    ----------
    targets : ndarray, shape (T, S)
        Wanted weights per decision bar; a row of NaN means no trade, and NaN beside
        numbers a name that is not wanted.
    returns : ndarray, shape (T, S)
        Return of bar t over the name's previous bar, from closes that are adjusted as
        open, high and low are, by one factor; NaN on a halt. See ``bar_returns``.
    rules : Rules
    delisting_return : ndarray, shape (S,), optional
        From the last close to what holders got, earned on the bar after ``last_bar``;
        NaN or absent: settled at the last price, a return of 0. No trade, no cost.
    last_bar : ndarray of int, shape (S,), optional
        Last bar on which each name is held, see ``Settlement``; the last bar of all,
        later or negative for one that is not delisted. Absent: no name is settled, and
        one that stops trading stays in the book as a halted one.
    keep_weights : bool
        Whether ``weights`` and ``trades`` are wanted.

    Returns
    -------
    BookPath

    Raises
    ------
    ValueError
        Shapes differ, or a name has returns after its last bar or a delisting return
        below -1.
    """
    moves, leaving = _moves(targets, returns, delisting_return, last_bar)
    account = Account(_shaped(targets, rules), returns, moves, rules, keep_weights)
    wanted = np.asarray(np.isfinite(targets).any(axis=1))
    n_bars = len(wanted)
    first_decision = int(np.argmax(wanted)) if wanted.any() else n_bars
    first, phase = (
        first_decision + rules.lag_bars,
        first_decision % rules.rebalance_bars,
    )
    for bar in range(first, n_bars):
        account.carry(bar, leaving.get(bar))
        decision = bar - rules.lag_bars
        turn, wait = divmod(decision - phase, rules.rebalance_bars)
        if rules.exit_at_end and bar == n_bars - 1:
            account.leave(bar)
        elif wanted[decision] and wait == 0:
            account.trade(bar, decision, turn % rules.n_books)
        account.record(bar)
    return account.path(first)


def _shaped(targets: npt.NDArray[np.floating], rules: Rules) -> Matrix:
    """Targets of the legs that are held, as shares of the stated capital."""
    shaped: Matrix = np.where(np.isnan(targets), 0.0, targets)
    if rules.legs != "both":
        one = np.maximum if rules.legs == "long" else np.minimum
        shaped = np.asarray(one(shaped, 0.0))
    return shaped if rules.scale == 1.0 else shaped * rules.scale


def _moves(
    targets: npt.NDArray[np.floating],
    returns: npt.NDArray[np.floating],
    delisting_return: npt.NDArray[np.floating] | None,
    last_bar: npt.NDArray[np.integer] | None,
) -> tuple[Matrix, dict[int, npt.NDArray[np.intp]]]:
    """Moves of each bar, 0 on a halt, and the names that are paid out at each bar."""
    if targets.shape != returns.shape:
        raise ValueError(f"targets are {targets.shape}, returns {returns.shape}")
    moves = np.where(np.isfinite(returns), returns, 0.0).astype(np.float64)
    if last_bar is None:
        if delisting_return is not None:
            raise ValueError("delisting_return needs last_bar")
        return moves, {}
    n_bars, n_symbols = returns.shape
    paid = np.zeros(n_symbols)
    if delisting_return is not None:
        paid = np.nan_to_num(np.asarray(delisting_return, dtype=np.float64))
    if last_bar.shape != (n_symbols,) or paid.shape != (n_symbols,):
        raise ValueError(f"last_bar and delisting_return must have {n_symbols} values")
    gone = np.flatnonzero((last_bar >= 0) & (last_bar < n_bars - 1))
    after = np.arange(n_bars)[:, None] > last_bar[None, gone]
    if (np.isfinite(returns[:, gone]) & after).any() or (paid < -1).any():
        raise ValueError("returns after last_bar, or a delisting return below -1")
    bars = last_bar[gone] + 1
    moves[bars, gone] = paid[gone]
    return moves, {int(bar): gone[bars == bar] for bar in np.unique(bars)}
