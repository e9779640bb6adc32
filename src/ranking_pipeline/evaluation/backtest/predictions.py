"""Backtest of predictions: a row of the leaderboard, held beside simple books."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.errors import UserError
from ranking_pipeline.evaluation.backtest.books import (
    CHOSEN,
    Book,
    Follower,
    held_row,
    reference_books,
    row_score,
    view_of,
)
from ranking_pipeline.evaluation.backtest.config import BacktestConfig
from ranking_pipeline.evaluation.backtest.exchange import Exchange, Search
from ranking_pipeline.evaluation.backtest.setting import (
    Found,
    Stored,
    exchange_of,
    rules_of,
)
from ranking_pipeline.evaluation.backtest.tables import run_backtest
from ranking_pipeline.evaluation.backtest.trials import count_trials
from ranking_pipeline.evaluation.comparison import best_baseline
from ranking_pipeline.evaluation.config import EvaluationConfig
from ranking_pipeline.evaluation.view import View
from ranking_pipeline.portfolio.backtest import Rules

MEASURED = ("validation", "test")


@dataclass(frozen=True)
class Plan:
    """What is held and by which rules, before anything is measured.

    Attributes
    ----------
    row : mapping or None
        Row of the leaderboard; None where no model was trained.
    target : str
        Of the row; without one, the primary target.
    rules : Rules
    view : View
    exchange : Exchange
    score : ndarray of shape (T, S), or None
        Of the row.
    """

    row: Mapping[str, Any] | None
    target: str
    rules: Rules
    view: View
    exchange: Exchange
    score: npt.NDArray[np.float64] | None


def plan_predictions(
    stored: Stored,
    leaderboard: pd.DataFrame,
    target_manifest: pd.DataFrame,
    models: Sequence[pd.DataFrame],
    predictions: Sequence[pd.DataFrame],
    config: BacktestConfig,
    evaluation: EvaluationConfig,
) -> Plan:
    """Find the row that is held and check all that its book needs.

    No return of the test split is measured here: what is refused is no trial.

    Parameters
    ----------
    stored : Stored
    leaderboard, target_manifest : DataFrame
    models, predictions : sequence of DataFrame
        Of the stages that ran.
    config : BacktestConfig
    evaluation : EvaluationConfig

    Raises
    ------
    UserError
        For a row that is not on the leaderboard, or parameters that do not fit.
    """
    panel, row = stored.panel, held_row(leaderboard, config)
    target = evaluation.primary_target if row is None else str(row["target"])
    rules = rules_of(panel, *_timing(target, target_manifest), config, evaluation)
    view = view_of(panel, config, evaluation)
    exchange = exchange_of(stored, rules, config, MEASURED)
    score = None if row is None else row_score(row, models, predictions, panel)
    return Plan(row, target, rules, view, exchange, score)


def follow_predictions(
    stored: Stored,
    leaderboard: pd.DataFrame,
    metrics: pd.DataFrame,
    target_manifest: pd.DataFrame,
    models: Sequence[pd.DataFrame],
    predictions: Sequence[pd.DataFrame],
    config: BacktestConfig,
    evaluation: EvaluationConfig,
) -> Found:
    """Hold a row of the leaderboard, the baselines and the market.

    Parameters
    ----------
    stored : Stored
    leaderboard, metrics, target_manifest : DataFrame
    models, predictions : sequence of DataFrame
        Of the stages that ran.
    config : BacktestConfig
    evaluation : EvaluationConfig

    Returns
    -------
    Found
        Without a model: the baselines with the horizon of the primary target.

    Raises
    ------
    UserError
        As :func:`plan_predictions`.
    """
    tables = (leaderboard, target_manifest, models, predictions)
    plan = plan_predictions(stored, *tables, config, evaluation)
    panel, rules, view = stored.panel, plan.rules, plan.view
    follower = Follower(
        view,
        config.band_share,
        max(rules.horizon_bars, rules.rebalance_bars),
        tuple(plan.exchange.blocks.values()),
    )
    decided = np.ones(panel.n_bars, dtype=np.bool_)
    references = reference_books(
        panel, follower, decided, config, evaluation.random_seed
    )
    books = []
    if plan.row is not None and plan.score is not None:
        wanted = follower.targets(plan.score, panel.tradable.T)
        books = [Book(str(plan.row["model_id"]), CHOSEN, wanted)]
    trials = count_trials(stored.ledger)
    search = Search(trials.total, row_sharpes(metrics))
    return Found(
        run_backtest([*books, *references], rules, plan.exchange, search),
        "predictions",
        books[0].name if books else "",
        best_baseline(leaderboard, plan.target),
        plan.target,
        trials,
        view.tail_share,
        config.band_share,
        view.over_time,
        names_per_leg=_names_per_leg([*books, *references][0]),
    )


def _names_per_leg(book: Book) -> int:
    """Names that a book is long of, at the median of the bars that want some."""
    count = (np.nan_to_num(book.targets) > 0).sum(axis=1)
    return int(np.median(count[count > 0])) if count.any() else 0


def _timing(target: str, target_manifest: pd.DataFrame) -> tuple[int, int]:
    """Horizon and lag of a target, in bars."""
    rows = target_manifest[target_manifest["target"] == target]
    if rows.empty:
        known = ", ".join(target_manifest["target"].astype(str))
        raise UserError(
            f"backtest: target '{target}' is not in target_manifest, which has {known}; "
            "name one of them in evaluation.primary_target, or run data_preparation "
            "with it among data.labels.targets"
        )
    row = rows.iloc[0]
    return int(row["horizon_bars"]), int(row["entry_lag_bars"])


def row_sharpes(metrics: pd.DataFrame) -> dict[str, npt.NDArray[np.float64]]:
    """Per-bar net Sharpe ratios of this run's model rows, by split.

    Parameters
    ----------
    metrics : DataFrame
        One row per model_id, target and split.
    """
    rows = metrics[metrics["kind"] == "model"]
    per_bar = rows["net_sharpe"] / np.sqrt(rows["periods_per_year"])
    return {
        str(split): own[own.notna()].to_numpy(float)
        for split, own in per_bar.groupby(rows["split"])
    }
