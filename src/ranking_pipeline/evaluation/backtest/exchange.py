"""Backtest exchange: where books are held, split by split."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from ranking_pipeline.evaluation.backtest.books import BENCHMARK, Book
from ranking_pipeline.panel import Panel
from ranking_pipeline.portfolio.backtest import (
    BookPath,
    Rules,
    Settlement,
    market_return,
    run_book,
    usual_dollar_volume,
)

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Exchange:
    """Where books are held: what all of them share.

    Attributes
    ----------
    panel : Panel
    returns : ndarray, shape (T, S)
        Bar returns to those who hold a name, member of the universe or not.
    settlement : Settlement
        By the same returns.
    blocks : mapping of split to slice
        Bars of each split; a book enters each of them anew.
    periods_per_year : float
    volume_share : float
    volume_bars : int
    """

    panel: Panel
    returns: Matrix
    settlement: Settlement
    blocks: Mapping[str, slice]
    periods_per_year: float
    volume_share: float
    volume_bars: int

    @cached_property
    def market(self) -> npt.NDArray[np.float64]:
        """Return of the members of the universe in equal parts, shape (T,)."""
        own = np.where(self.panel.tradable.T, self.returns, np.nan)
        return market_return(own)

    def usual_volume(self) -> Matrix:
        """Usual dollar volume, shape (T, S)."""
        close, volume = map(self.panel.cross_sections, ("close", "volume"))
        return usual_dollar_volume(close, volume, self.volume_bars)


@dataclass(frozen=True)
class Search:
    """The search that found the chosen row.

    Attributes
    ----------
    n_trials : int
    sharpes : mapping of split to ndarray
        Per-bar Sharpe ratios of this run's rows; empty where there are none.
    """

    n_trials: int
    sharpes: Mapping[str, npt.NDArray[np.float64]]


@dataclass(frozen=True)
class Held:
    """One book in one split.

    Attributes
    ----------
    book : Book
    split : str
    bars : slice
        Of the split.
    path : BookPath
        Over these bars.
    """

    book: Book
    split: str
    bars: slice
    path: BookPath

    @property
    def names(self) -> dict[str, str]:
        """What its rows are called by."""
        return {"book": self.book.name, "split": self.split}

    @property
    def from_first_trade(self) -> npt.NDArray[np.intp]:
        """Bars of the split on which something was held, as positions in it."""
        return np.flatnonzero(np.isfinite(self.path.net))


def hold_books(
    books: Sequence[Book], rules: Rules, exchange: Exchange
) -> Iterator[Held]:
    """Run every book through every split in which it has something to hold."""
    ends = exchange.settlement
    for split, bars in exchange.blocks.items():
        for book in books:
            targets = book.targets[bars]
            if not np.isfinite(targets).any():
                continue
            own = replace(rules, legs="long") if book.kind == BENCHMARK else rules
            path = run_book(
                targets,
                exchange.returns[bars],
                own,
                ends.delisting_return,
                ends.last_bar - bars.start,
                keep_weights=True,
            )
            if np.isfinite(path.net).any():
                yield Held(book, split, bars, path)
