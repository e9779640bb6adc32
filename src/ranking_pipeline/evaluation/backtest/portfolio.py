"""Backtest of the monthly portfolio: what was selected, held month after month."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.errors import UserError
from ranking_pipeline.evaluation.backtest.books import (
    CHOSEN,
    Book,
    Follower,
    reference_books,
    view_of,
)
from ranking_pipeline.evaluation.backtest.config import BacktestConfig
from ranking_pipeline.evaluation.backtest.exchange import Search
from ranking_pipeline.evaluation.backtest.portfolio_months import (
    held_legs,
    months_held,
    scored_by,
    until,
)
from ranking_pipeline.evaluation.backtest.setting import (
    Found,
    Stored,
    exchange_of,
    rules_of,
)
from ranking_pipeline.evaluation.backtest.tables import run_backtest
from ranking_pipeline.evaluation.backtest.trials import count_trials
from ranking_pipeline.evaluation.config import EvaluationConfig
from ranking_pipeline.models.assemble import locate
from ranking_pipeline.panel import Panel
from ranking_pipeline.splits import NAMES

Matrix = npt.NDArray[np.float64]
PORTFOLIO = "portfolio"


def follow_portfolio(
    stored: Stored,
    portfolio: pd.DataFrame,
    lag_bars: int,
    config: BacktestConfig,
    evaluation: EvaluationConfig,
) -> Found:
    """Hold the monthly portfolio, and beside it what is decided on the same bars.

    Baselines have the legs that the portfolio has: a long one stands beside long ones.

    Parameters
    ----------
    stored : Stored
    portfolio : DataFrame
        The table ``batch_predictions``.
    lag_bars : int
        From the as-of bar to the trade.
    config : BacktestConfig
    evaluation : EvaluationConfig

    Returns
    -------
    Found

    Raises
    ------
    UserError
        For an empty portfolio, legs that it lacks, or parameters of another source.
    """
    for name in ("model_id", "target", "band_share", "rebalance_bars"):
        if getattr(config, name) is not None:
            raise UserError(
                f"backtest.{name} {getattr(config, name)!r} is for predictions; the "
                "monthly portfolio says itself what is held: set it to null"
            )
    panel = stored.panel
    wanted = portfolio_targets(portfolio, panel)
    decided = np.isfinite(wanted).any(axis=1)
    own = config.model_copy(update={"legs": held_legs(portfolio, config.legs)})
    rules = rules_of(panel, 1, lag_bars, own, evaluation)
    view = view_of(panel, own, evaluation)
    exchange = exchange_of(stored, rules, own, NAMES)
    # a bar that only ends a month without a successor holds nothing in any book
    invested = decided & (np.abs(np.nan_to_num(wanted)).sum(axis=1) > 0)
    blocks, last = exchange.blocks, int(np.flatnonzero(decided)[-1])
    if not invested[last]:
        blocks = until(blocks, last + lag_bars)
    months = months_held(portfolio, panel, blocks, lag_bars)
    exchange = replace(exchange, blocks={name: blocks[name] for name in months})
    follower = Follower(view, None, 1, tuple(exchange.blocks.values()))
    references = reference_books(panel, follower, invested, own, evaluation.random_seed)
    books = [
        Book(PORTFOLIO, CHOSEN, wanted),
        *(_flat_where(book, decided & ~invested) for book in references),
    ]
    trials = count_trials(stored.ledger)
    source, version = scored_by(portfolio)
    tables = run_backtest(books, rules, exchange, Search(trials.total, {}))
    own_rows = tables.metrics["kind"] == CHOSEN
    told = tables.metrics.assign(
        score_source=np.where(own_rows, source, ""),
        model_version=np.where(own_rows, version, ""),
    )
    return Found(
        replace(tables, metrics=told),
        "portfolio",
        PORTFOLIO,
        "",
        "",
        trials,
        view.tail_share,
        None,
        view.over_time,
        unheld_months(portfolio, months),
        months,
        source,
        version,
    )


def unheld_months(
    portfolio: pd.DataFrame, held: Mapping[str, Sequence[str]]
) -> tuple[str, ...]:
    """Trade months whose decision or first trade lies in the gap after a split.

    Parameters
    ----------
    portfolio : DataFrame
        month.
    held : mapping of split to months
    """
    known = {month for months in held.values() for month in months}
    return tuple(sorted(set(portfolio["month"].astype(str)) - known))


def portfolio_targets(portfolio: pd.DataFrame, panel: Panel) -> Matrix:
    """Weights of the monthly portfolio, all sectors of a leg with the same capital.

    A month between two portfolios that has none is held in cash, and so is what comes
    after the last one's month.

    Parameters
    ----------
    portfolio : DataFrame
        month, sector, timestamp (the as-of bar), symbol, leg, weight (signed).
    panel : Panel

    Returns
    -------
    ndarray of float64, shape (T, S)
        One row per month, at its as-of bar; NaN at all other bars.

    Raises
    ------
    UserError
        Where a bar or a symbol is not in the panel, or there is no portfolio.
    """
    if portfolio.empty:
        raise UserError(
            "batch_predictions holds no portfolio: every month was refused or empty. "
            "See its outcomes, and run kedro run --pipelines=prediction again"
        )
    shape = (panel.n_bars, panel.n_symbols)
    bars, symbols = locate(panel, portfolio, "batch_predictions")
    sectors = portfolio.groupby([pd.Series(bars, portfolio.index), "leg"])["sector"]
    share = portfolio["weight"].to_numpy(float) / sectors.transform("nunique")
    totals = np.zeros(shape)
    np.add.at(totals, (bars, symbols), np.asarray(share, dtype=float))
    months = panel.trading_dates.astype("M8[M]")
    ends = np.flatnonzero(np.append(months[1:] != months[:-1], False))
    known = np.unique(bars)
    after = ends[ends > known[-1]][:1]
    flat = np.concatenate([ends[(ends > known[0]) & (ends < known[-1])], after])
    decided = np.union1d(known, flat)
    wanted = np.full(shape, np.nan)
    wanted[decided] = totals[decided]
    return wanted


def _flat_where(book: Book, flat: npt.NDArray[np.bool_]) -> Book:
    """The same book, with nothing held from some decisions on."""
    targets = book.targets.copy()
    targets[flat] = 0.0
    return Book(book.name, book.kind, targets)
