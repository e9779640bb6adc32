"""Backtest of predictions: a row of the leaderboard, held beside simple books."""

from __future__ import annotations

from collections.abc import Sequence

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
from ranking_pipeline.evaluation.backtest.exchange import Search
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

MEASURED = ("validation", "test")


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
        For a row that is not on the leaderboard, or parameters that do not fit.
    """
    panel, row = stored.panel, held_row(leaderboard, config)
    target = evaluation.primary_target if row is None else str(row["target"])
    horizon, lag = _timing(target, target_manifest)
    rules = rules_of(panel, horizon, lag, config, evaluation)
    view = view_of(panel, config, evaluation)
    exchange = exchange_of(stored, rules, config, MEASURED)
    follower = Follower(
        view,
        config.band_share,
        max(horizon, rules.rebalance_bars),
        tuple(exchange.blocks.values()),
    )
    decided = np.ones(panel.n_bars, dtype=np.bool_)
    references = reference_books(
        panel, follower, decided, config, evaluation.random_seed
    )
    books = []
    if row is not None:
        score = row_score(row, models, predictions, panel)
        wanted = follower.targets(score, panel.tradable.T)
        books = [Book(str(row["model_id"]), CHOSEN, wanted)]
    trials = count_trials(stored.ledger)
    search = Search(trials.total, row_sharpes(metrics))
    return Found(
        run_backtest([*books, *references], rules, exchange, search),
        "predictions",
        books[0].name if books else "",
        best_baseline(leaderboard, target),
        target,
        trials,
        view.tail_share,
        config.band_share,
        view.over_time,
    )


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
