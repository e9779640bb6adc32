"""A plain ledger of books: positions and cash in dictionaries, one event at a time.

It says in money what ``portfolio.backtest.run_book`` computes from weights: slow, and
written without it. Each book starts with 1 and keeps an account of its own; it is the
oracle of the tests and the peer of the benchmark.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]
NAN = float("nan")
NOTHING = 1e-9  # of the capital


class PlainBook:
    """Cash and positions of one book, in money."""

    def __init__(self) -> None:
        self.cash = 1.0
        self.positions: dict[int, float] = {}

    def equity(self) -> float:
        """Cash and the value of all positions."""
        return self.cash + sum(self.positions.values())


class PlainLedger:
    """The books of one account, and what they earned and paid."""

    def __init__(
        self,
        targets: Matrix,
        returns: Matrix,
        rules: Any,
        delisting_return: Matrix | None = None,
        last_bar: npt.NDArray[np.int64] | None = None,
    ) -> None:
        self.targets, self.returns, self.rules = targets, returns, rules
        self.n_bars, self.n_symbols = returns.shape
        self.ends: dict[int, list[tuple[int, float]]] = {}
        for symbol in range(self.n_symbols if last_bar is not None else 0):
            assert last_bar is not None
            end = int(last_bar[symbol])
            paid = 0.0 if delisting_return is None else float(delisting_return[symbol])
            if end >= 0:
                event = (symbol, 0.0 if math.isnan(paid) else paid)
                self.ends.setdefault(end + 1, []).append(event)
        count = rules.horizon_bars // rules.rebalance_bars
        self.books = [PlainBook() for _ in range(max(count, 1))]
        self.rows: dict[str, list[float]] = {
            name: [] for name in ("gross", "cost", "borrow", "net", "turnover")
        }
        self.weights: list[list[float]] = []
        self.insolvent = self.settled = 0

    def run(self, weights: bool = True) -> PlainLedger:
        """Walk over the bars; the weights of each are kept where they are wanted."""
        started, waited, number = False, 0, 0
        for bar in range(self.n_bars):
            borrow = self._borrow()
            gross = sum(self._move(book, bar) for book in self.books) / len(self.books)
            decision, turnover = bar - self.rules.lag_bars, NAN
            if decision >= 0:
                known = any(not math.isnan(x) for x in self.targets[decision])
                if known and not started:
                    started = True
                if started:
                    due = waited % self.rules.rebalance_bars == 0
                    if self.rules.exit_at_end and bar == self.n_bars - 1:
                        turnover = self._exit(bar)
                    elif due and known:
                        turnover = self._trade(bar, decision, number % len(self.books))
                    if due:
                        number += 1
                    waited += 1
            self._write(started, gross, borrow, turnover)
            if weights:
                self._keep_weights()
        return self

    def _borrow(self) -> float:
        yearly = self.rules.borrow_bps_per_year / 10_000
        if not yearly:
            return 0.0
        short = sum(max(-weight, 0.0) for weight in self._whole().values())
        return short * float(yearly / self.rules.periods_per_year)

    def _whole(self) -> dict[int, float]:
        """Weights of the account: its books together, each with an equal share."""
        whole: dict[int, float] = {}
        for book in self.books:
            equity = book.equity() * len(self.books)
            for symbol, money in book.positions.items():
                whole[symbol] = whole.get(symbol, 0.0) + money / equity
        return whole

    def _move(self, book: PlainBook, bar: int) -> float:
        before = book.equity()
        for symbol in book.positions:
            move = self.returns[bar, symbol]
            if not math.isnan(move):
                book.positions[symbol] *= 1.0 + move
        for symbol, paid in self.ends.get(bar, []):
            held = book.positions.get(symbol, 0.0)
            self.settled += held != 0
            book.positions[symbol] = held * (1.0 + paid)
        after = book.equity()
        if after / before <= NOTHING:
            self.insolvent += 1
            book.cash, book.positions = 1.0, {}
        for symbol, _ in self.ends.get(bar, []):
            book.cash += book.positions.pop(symbol, 0.0)
        return after / before - 1.0

    def _trade(self, bar: int, decision: int, turn: int) -> float:
        book = self.books[turn]
        equity, traded = book.equity(), 0.0
        for symbol in range(self.n_symbols):
            if math.isnan(self.returns[bar, symbol]):
                continue
            wanted = self._wanted(self.targets[decision, symbol]) * equity
            change = wanted - book.positions.get(symbol, 0.0)
            book.positions[symbol] = wanted
            book.cash -= change
            traded += abs(change)
        return traded / equity

    def _wanted(self, target: float) -> float:
        if math.isnan(target):
            return 0.0
        if self.rules.legs == "long":
            return max(target, 0.0)
        if self.rules.legs == "short":
            return min(target, 0.0)
        return target / 2 if self.rules.capital_base == "gross" else target

    def _exit(self, bar: int) -> float:
        traded = 0.0
        for symbol, weight in self._whole().items():
            if not math.isnan(self.returns[bar, symbol]):
                traded += abs(weight) * len(self.books)
        for book in self.books:
            for symbol in list(book.positions):
                if not math.isnan(self.returns[bar, symbol]):
                    book.cash += book.positions.pop(symbol)
        return traded

    def _write(
        self, started: bool, gross: float, borrow: float, turnover: float
    ) -> None:
        traded = 0.0 if math.isnan(turnover) else turnover
        cost = traded * self.rules.cost_bps_per_side / 10_000 / len(self.books)
        values = (gross, cost, borrow, gross - cost - borrow, turnover)
        for name, value in zip(self.rows, values, strict=True):
            self.rows[name].append(value if started else NAN)

    def _keep_weights(self) -> None:
        whole = self._whole()
        self.weights.append([whole.get(s, 0.0) for s in range(self.n_symbols)])


def plain_targets(
    score: Matrix, tail_share: float, band_share: float, horizon_bars: int = 1
) -> Matrix:
    """Equal weights of both tails, holding on to names inside the band: bar by bar.

    Names are sorted by (-score, column); a held one inside the band stays, and the
    places that are left go to the best others.
    """
    targets = np.full(score.shape, NAN)
    held: list[tuple[list[int], list[int]]] = [([], []) for _ in range(horizon_bars)]
    for bar, row in enumerate(score.tolist()):
        names = [s for s, x in enumerate(row) if not math.isnan(x)]
        best = sorted(names, key=lambda s: (-row[s], s))
        size, band = (
            min(max(int(len(best) * share + 1e-9), 1), len(best) // 2)
            for share in (tail_share, band_share)
        )
        if size == 0:
            continue
        legs = []
        pairs = zip(held[bar % horizon_bars], (best, best[::-1]), strict=True)
        for own, order in pairs:
            kept = [s for s in order[:band] if s in own][:size]
            others = [s for s in order if s not in kept]
            legs.append(kept + others[: size - len(kept)])
        held[bar % horizon_bars] = (legs[0], legs[1])
        targets[bar] = 0.0
        targets[bar, legs[0]], targets[bar, legs[1]] = 1 / size, -1 / size
    return targets
