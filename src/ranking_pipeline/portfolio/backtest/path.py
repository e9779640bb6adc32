"""Path of a book: what it earned, paid and held, bar by bar."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ranking_pipeline.portfolio.backtest.rules import Rules

Series = npt.NDArray[np.float64]


@dataclass(frozen=True)
class BookPath:
    """What a book earned, paid and held; per bar, NaN before the first trade.

    Attributes
    ----------
    gross, cost, borrow, net : ndarray, shape (T,)
        Shares of the capital; ``net = gross - cost - borrow``. A cost is paid at the
        close of its bar.
    turnover : ndarray, shape (T,)
        Sum of |target weight - drifted weight| of the book that trades at this close, as
        a share of that book's capital (one of ``rules.n_books``); NaN where none trades.
        At the exit the sum over all books; see :attr:`turnover_of_a_book`.
    weights : ndarray of float32, shape (T, S), or None
        Of the whole account after the trades of the bar, as shares of its capital.
    trades : ndarray of float32, shape (T, S), or None
        Signed changes of the account's weights by trading at the close of the bar.
    rules : Rules
    n_insolvent : int
        Times that a book lost more than its capital and was closed.
    n_settled : int
        Positions that were paid out because their name was delisted.
    unsold : float
        Sum of |weight| that the exit could not sell on the last bar, its names halted;
        0 without an exit.
    """

    gross: Series
    cost: Series
    borrow: Series
    net: Series
    turnover: Series
    weights: npt.NDArray[np.float32] | None
    trades: npt.NDArray[np.float32] | None
    rules: Rules
    n_insolvent: int
    n_settled: int
    unsold: float

    @property
    def turnover_of_a_book(self) -> Series:
        """Turnover as a share of one book's capital, shape (T,).

        All books leave on the bar of the exit, where it is their mean.
        """
        found = self.turnover.copy()
        if self.rules.exit_at_end:
            found[-1:] /= self.rules.n_books
        return found
