"""Backtest of the monthly portfolio: what was selected, held month after month."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

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
from ranking_pipeline.evaluation.backtest.exchange import Exchange, Search
from ranking_pipeline.evaluation.backtest.portfolio_months import (
    held_legs,
    months_held,
    portfolio_targets,
    scored_by,
    unheld_months,
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
from ranking_pipeline.evaluation.view import View
from ranking_pipeline.portfolio.backtest import Rules
from ranking_pipeline.splits import NAMES

Matrix = npt.NDArray[np.float64]
PORTFOLIO = "portfolio"


@dataclass(frozen=True)
class Plan:
    """What is held and by which rules, before anything is measured.

    Attributes
    ----------
    targets : ndarray, shape (T, S)
    decided : ndarray of bool, shape (T,)
        Bars on which the portfolio says what is held; cash is such a word.
    config : BacktestConfig
        With the legs that the portfolio has.
    rules : Rules
    view : View
    exchange : Exchange
        On the bars of the splits in which a month is held.
    months : mapping of split to tuple of str
    score_source, model_version : str
    """

    targets: Matrix
    decided: npt.NDArray[np.bool_]
    config: BacktestConfig
    rules: Rules
    view: View
    exchange: Exchange
    months: Mapping[str, tuple[str, ...]]
    score_source: str
    model_version: str

    @property
    def invested(self) -> npt.NDArray[np.bool_]:
        """Bars on which something is to be held; cash alone is held in no book."""
        return _invested(self.targets, self.decided)


def plan_portfolio(
    stored: Stored,
    portfolio: pd.DataFrame,
    lag_bars: int,
    config: BacktestConfig,
    evaluation: EvaluationConfig,
) -> Plan:
    """Read the monthly portfolio and check all that its book needs.

    No return of the test split is measured here: what is refused is no trial.

    Parameters
    ----------
    stored : Stored
    portfolio : DataFrame
        The table ``batch_predictions``.
    lag_bars : int
        From the as-of bar to the trade.
    config : BacktestConfig
    evaluation : EvaluationConfig

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
    decided: npt.NDArray[np.bool_] = np.asarray(np.isfinite(wanted).any(axis=1))
    own = config.model_copy(update={"legs": held_legs(portfolio, config.legs)})
    rules = rules_of(panel, 1, lag_bars, own, evaluation)
    view = view_of(panel, own, evaluation)
    exchange = exchange_of(stored, rules, own, NAMES)
    blocks, last = exchange.blocks, int(np.flatnonzero(decided)[-1])
    if not _invested(wanted, decided)[last]:
        blocks = until(blocks, last + lag_bars)
    months = months_held(portfolio, panel, blocks, lag_bars)
    exchange = replace(exchange, blocks={name: blocks[name] for name in months})
    told = scored_by(portfolio)
    return Plan(wanted, decided, own, rules, view, exchange, months, *told)


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
    stored, portfolio, lag_bars, config, evaluation
        As of :func:`plan_portfolio`.

    Returns
    -------
    Found

    Raises
    ------
    UserError
        As :func:`plan_portfolio`.
    """
    plan = plan_portfolio(stored, portfolio, lag_bars, config, evaluation)
    follower = Follower(plan.view, None, 1, tuple(plan.exchange.blocks.values()))
    seed, invested = evaluation.random_seed, plan.invested
    references = reference_books(stored.panel, follower, invested, plan.config, seed)
    books = [
        Book(PORTFOLIO, CHOSEN, plan.targets),
        *(_flat_where(book, plan.decided & ~invested) for book in references),
    ]
    trials = count_trials(stored.ledger)
    search = Search(trials.total, {})
    tables = run_backtest(books, plan.rules, plan.exchange, search)
    own_rows = tables.metrics["kind"] == CHOSEN
    told = tables.metrics.assign(
        score_source=np.where(own_rows, plan.score_source, ""),
        model_version=np.where(own_rows, plan.model_version, ""),
    )
    return Found(
        replace(tables, metrics=told),
        "portfolio",
        PORTFOLIO,
        "",
        "",
        trials,
        plan.view.tail_share,
        None,
        plan.view.over_time,
        unheld_months(portfolio, plan.months),
        plan.months,
        plan.score_source,
        plan.model_version,
    )


def _invested(targets: Matrix, decided: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    held: npt.NDArray[np.bool_] = np.abs(np.nan_to_num(targets)).sum(axis=1) > 0
    return decided & held


def _flat_where(book: Book, flat: npt.NDArray[np.bool_]) -> Book:
    """The same book, with nothing held from some decisions on."""
    targets = book.targets.copy()
    targets[flat] = 0.0
    return Book(book.name, book.kind, targets)
