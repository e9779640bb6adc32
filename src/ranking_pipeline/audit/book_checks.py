"""Checks of the backtest: what a monthly book earns, pays and holds up to a bar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.audit.check import Check, check_of
from ranking_pipeline.audit.cuts import Cut
from ranking_pipeline.audit.futures import TRUNCATED
from ranking_pipeline.audit.lookahead import audit_function
from ranking_pipeline.audit.month_world import Values
from ranking_pipeline.audit.portfolio_checks import METHODS, PortfolioWorld
from ranking_pipeline.evaluation.backtest.books import CHOSEN, Book, Follower
from ranking_pipeline.evaluation.backtest.exchange import Exchange, Held, hold_books
from ranking_pipeline.evaluation.backtest.portfolio_months import portfolio_targets
from ranking_pipeline.evaluation.view import View
from ranking_pipeline.panel import Panel
from ranking_pipeline.portfolio.backtest import (
    Rules,
    Settlement,
    panel_settlement,
    trading_capacity,
)
from ranking_pipeline.portfolio.returns import holder_returns

CHECK = "monthly books ignore later bars"
SETTLED_CHECK = "settled books ignore later bars"
SERIES = ("gross", "cost", "borrow", "net", "turnover", "capacity")
CELLS = ("weights", "trades", "usual dollar volume")
BOOKS = ("monthly portfolio", "daily follower")
COLUMNS = tuple(f"{name}, {book}" for book in BOOKS for name in (*SERIES, *CELLS))
COST_BPS, BORROW_BPS, PERIODS = 5.0, 50.0, 252.0
VOLUME_SHARE, VOLUME_BARS = 0.01, 20
CAPACITY_EVERY = 20  # bars from one figure of the capacity so far to the next
TAIL_SHARE, BAND_SHARE = 0.25, 0.5
LOST = -0.3  # what holders of every delisted name lose
ENDED = 4  # every so many-th name is delisted where the check is of settlement
# Ways in which a name would trade after the date of its delisting.
NOT_SETTLED = ("shuffled", "calendar")
# Scores go elsewhere while the returns stay.
SCORE_MODES = ("random_walk", "shuffled")


@dataclass(frozen=True)
class BookWorld:
    """A monthly portfolio and daily scores, and the rules by which they are held.

    Attributes
    ----------
    portfolios : PortfolioWorld
    lag_bars : int
    delistings : DataFrame or None
        None: no name is settled.
    """

    portfolios: PortfolioWorld
    lag_bars: int
    delistings: pd.DataFrame | None = None

    @property
    def panel(self) -> Panel:
        """The bars as they are."""
        return self.portfolios.months.panel

    def held(self, scored: Panel, traded: Panel) -> list[Held]:
        """Hold what the bars of one panel choose at the returns of another."""
        exchange = self.exchange(traded)
        portfolio = self.portfolios.table(scored, METHODS[0])
        score = np.where(scored.tradable, -scored.field("close"), np.nan).T
        view = View(over_time=False, min_symbols=2, tail_share=TAIL_SHARE)
        follower = Follower(view, BAND_SHARE, 1, (slice(0, scored.n_bars),))
        targets = (
            portfolio_targets(portfolio, scored),
            follower.targets(score.astype(np.float64), scored.tradable.T),
        )
        books = [
            Book(name, CHOSEN, wanted)
            for name, wanted in zip(BOOKS, targets, strict=True)
        ]
        return list(hold_books(books, rules(self.lag_bars), exchange))

    def exchange(self, panel: Panel) -> Exchange:
        """The place where books are held, all bars in one block."""
        returns = holder_returns(panel)
        ends = Settlement(
            np.full(panel.n_symbols, -1), np.full(panel.n_symbols, np.nan)
        )
        if self.delistings is not None:
            ends = panel_settlement(panel, returns, self.delistings)
        whole = {"all": slice(0, panel.n_bars)}
        return Exchange(panel, returns, ends, whole, PERIODS, VOLUME_SHARE, VOLUME_BARS)


def rules(lag_bars: int) -> Rules:
    """Rules of the books; a sale on the last bar would make that bar another one."""
    return Rules(
        horizon_bars=1,
        lag_bars=lag_bars,
        cost_bps_per_side=COST_BPS,
        borrow_bps_per_year=BORROW_BPS,
        rebalance_bars=1,
        exit_at_end=False,
        capital_base="leg",
        legs="both",
        periods_per_year=PERIODS,
    )


def book_checks(
    world: PortfolioWorld,
    cuts: Sequence[Cut],
    modes: Sequence[str],
    modes_at_a_cut: int,
    lag_bars: int,
    seed: int,
) -> list[Check]:
    """Check the books of a monthly portfolio and of daily scores.

    What they earned, paid, held and could have held up to a cut may not change when
    bars after it are altered. So it is with delisted names settled, on bars without
    halts: whether a halt is the end, a book is told afterwards only. And with the
    returns as they are, scores after the cut count for nothing up to the close of the
    bar at which they can be traded.
    """
    lag = max(1, lag_bars)
    plain = BookWorld(world, lag)
    settled = _with_ends(plain)
    n_symbols = world.months.panel.n_symbols
    every = audit_function(
        partial(_held_cells, plain, n_symbols),
        plain.panel,
        cuts,
        modes,
        COLUMNS,
        seed=seed,
        modes_at_a_cut=modes_at_a_cut,
    )
    kept = [mode for mode in modes if mode not in NOT_SETTLED] or [TRUNCATED]
    with_ends = audit_function(
        partial(_held_cells, settled, n_symbols),
        settled.panel,
        cuts,
        kept,
        COLUMNS,
        seed=seed,
        modes_at_a_cut=modes_at_a_cut,
    )
    traded = audit_function(
        partial(_traded_cells, plain),
        plain.panel,
        cuts,
        SCORE_MODES,
        COLUMNS,
        seed=seed,
        modes_at_a_cut=modes_at_a_cut,
        reach=[-lag - (name.partition(",")[0] == "gross") for name in COLUMNS],
    )
    what = f"backtest of {' and '.join(BOOKS)}"
    n_ended = 0 if settled.delistings is None else len(settled.delistings)
    return [
        check_of(CHECK, what, every),
        check_of(SETTLED_CHECK, f"{what}, {n_ended} names delisted", with_ends),
        check_of(f"a portfolio earns nothing before t + {lag}", what, traded),
    ]


def _held_cells(world: BookWorld, n_symbols: int, panel: Panel) -> Values:
    """The books on the bars of a panel, (S, T, columns).

    A symbol that is listed later is left out: a sum over one more may round otherwise.
    """
    known = panel.cut(slice(None), slice(n_symbols))
    found = np.full((panel.n_symbols, panel.n_bars, len(COLUMNS)), np.nan)
    found[:n_symbols] = _cells(world, known, known)
    return found


def _traded_cells(world: BookWorld, panel: Panel) -> Values:
    """The books whose scores come from a panel, at the returns of the world's own."""
    return _cells(world, panel, world.panel)


def _cells(world: BookWorld, scored: Panel, traded: Panel) -> Values:
    """Numbers of a whole book stand in the row of the first symbol."""
    usual = world.exchange(traded).usual_volume()
    found = np.full((traded.n_symbols, traded.n_bars, len(COLUMNS)), np.nan)
    for held in world.held(scored, traded):
        path, first = held.path, COLUMNS.index(f"{SERIES[0]}, {held.book.name}")
        assert path.weights is not None
        assert path.trades is not None
        for place, name in enumerate(SERIES[:-1]):
            found[0, :, first + place] = getattr(path, name)
        for bar in range(CAPACITY_EVERY, traded.n_bars, CAPACITY_EVERY):
            so_far = slice(0, bar + 1)
            capacity = trading_capacity(
                path.trades[so_far], usual[so_far], world.lag_bars, VOLUME_SHARE
            )
            found[0, bar, first + len(SERIES) - 1] = capacity.capital
        cells = np.stack([path.weights, path.trades, usual], axis=-1)
        found[:, :, first + len(SERIES) : first + len(SERIES) + len(CELLS)] = (
            cells.transpose(1, 0, 2)
        )
    return found


def _with_ends(world: BookWorld) -> BookWorld:
    """The same without halts, every fourth name delisted at a loss, one by one."""
    panel = world.panel
    values = _without_gaps(panel)
    names = np.arange(0, panel.n_symbols, ENDED)
    ends = np.linspace(panel.n_bars // 2, panel.n_bars - 2, len(names) + 1)
    rows = []
    for name, end in zip(names, ends[:-1].astype(int), strict=True):
        values[name, end + 1 :] = np.nan
        rows.append((panel.symbols[name], panel.trading_dates[end], LOST))
    delistings = pd.DataFrame(rows, columns=["symbol", "date", "return"])
    ended = replace(panel, values=values, tradable=~np.isnan(values[:, :, 0]))
    months = replace(world.portfolios.months, panel=ended)
    return BookWorld(
        replace(world.portfolios, months=months), world.lag_bars, delistings
    )


def _without_gaps(panel: Panel) -> npt.NDArray[np.float32]:
    """Bars (S, T, F) with the last one in the place of each that is missing later."""
    bars = np.arange(panel.n_bars)
    seen = np.maximum.accumulate(np.where(panel.present, bars, 0), axis=1)
    return np.take_along_axis(panel.values, seen[:, :, None], axis=1)
