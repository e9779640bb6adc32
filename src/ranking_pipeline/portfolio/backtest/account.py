"""Account: staggered books, how they move and trade, and what is written down."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ranking_pipeline.portfolio.backtest.path import BookPath
from ranking_pipeline.portfolio.backtest.rules import Rules

Matrix = npt.NDArray[np.float64]
Series = npt.NDArray[np.float64]
NOTHING = 1e-9  # of the capital: what is left of a total loss by rounding


class Account:
    """The books of one account; each row of weights is of one book's own capital.

    Parameters
    ----------
    targets : ndarray, shape (T, S)
        Shares of the capital, without NaN.
    returns, moves : ndarray, shape (T, S)
        A name without a return does not trade; moves are those that its holders see.
    rules : Rules
    keep : bool
        Whether the weights and trades of each bar are wanted.
    """

    def __init__(
        self,
        targets: Matrix,
        returns: npt.NDArray[np.floating],
        moves: Matrix,
        rules: Rules,
        keep: bool,
    ) -> None:
        self._targets, self._moves, self._rules = targets, moves, rules
        self._trades = np.asarray(np.isfinite(returns))
        n_bars, n_symbols = targets.shape
        self._books = np.zeros((rules.n_books, n_symbols))
        self._gross, self._turnover = np.full((2, n_bars), np.nan)
        self._borrow = np.zeros(n_bars)
        shape = (2, n_bars, n_symbols) if keep else (2, 0, 0)
        self._kept = np.zeros(shape, dtype=np.float32)
        self._insolvent, self._settled, self._unsold = 0, 0, 0.0

    def carry(self, bar: int, leaving: npt.NDArray[np.intp] | None) -> None:
        """Pay for borrowed shares, move by one bar, pay out names that were delisted."""
        if self._rules.borrow_rate:
            short = -np.minimum(self._whole(), 0.0).sum()
            self._borrow[bar] = short * self._rules.borrow_rate
        if leaving is not None:
            self._settled += int(np.count_nonzero(self._books[:, leaving]))
        gains = self._books @ self._moves[bar]
        equity = 1.0 + gains
        solvent = equity > NOTHING
        self._books *= 1.0 + self._moves[bar]
        self._books /= np.where(solvent, equity, np.inf)[:, None]
        self._gross[bar] = float(np.mean(gains))
        if not solvent.all():
            self._insolvent += int((~solvent).sum())
        if leaving is not None:
            self._books[:, leaving] = 0.0

    def trade(self, bar: int, decision: int, turn: int) -> None:
        """Bring one book to its targets, as far as its names trade."""
        book = self._books[turn]
        change = np.where(self._trades[bar], self._targets[decision] - book, 0.0)
        self._turnover[bar] = np.abs(change).sum()
        book += change
        self._keep_trade(bar, change / self._rules.n_books)

    def leave(self, bar: int) -> None:
        """Sell all that trades on the last bar."""
        whole = self._whole()
        sold = np.where(self._trades[bar], whole, 0.0)
        self._turnover[bar] = np.abs(sold).sum() * self._rules.n_books
        self._unsold = float(np.abs(whole - sold).sum())
        self._books[:, self._trades[bar]] = 0.0
        self._keep_trade(bar, -sold)

    def record(self, bar: int) -> None:
        """Keep the weights at the close of a bar."""
        if self._kept.size:
            self._kept[0, bar] = self._whole()

    def path(self, first: int) -> BookPath:
        """What was written down, from the bar of the first trade on."""
        cost = np.nan_to_num(self._turnover) * self._rules.cost_rate
        cost[:first] = np.nan
        self._borrow[:first] = np.nan
        weights, trades = self._kept if self._kept.size else (None, None)
        return BookPath(
            self._gross,
            cost,
            self._borrow,
            self._gross - cost - self._borrow,
            self._turnover,
            weights,
            trades,
            self._rules,
            self._insolvent,
            self._settled,
            self._unsold,
        )

    def _whole(self) -> Series:
        """Weights of the whole account, shape (S,)."""
        if len(self._books) == 1:
            return np.asarray(self._books[0])
        return np.asarray(self._books.mean(axis=0))

    def _keep_trade(self, bar: int, change: Series) -> None:
        if self._kept.size:
            self._kept[1, bar] = change
