"""Books of the backtest: what each of them wants to hold at each bar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.errors import UserError
from ranking_pipeline.evaluation.backtest.config import BacktestConfig
from ranking_pipeline.evaluation.baselines import baseline_scores
from ranking_pipeline.evaluation.config import EvaluationConfig
from ranking_pipeline.evaluation.measure import fill_with_median
from ranking_pipeline.evaluation.model_row import model_row
from ranking_pipeline.evaluation.model_scores import members
from ranking_pipeline.evaluation.view import View
from ranking_pipeline.models.assemble import locate
from ranking_pipeline.panel import Panel
from ranking_pipeline.portfolio.backtest import banded_weights, equal_weights

Matrix = npt.NDArray[np.float64]
CHOSEN, BASELINE, BENCHMARK = "chosen", "baseline", "benchmark"
MARKET = "equal_weight"


@dataclass(frozen=True)
class Book:
    """One book before it is held.

    Attributes
    ----------
    name, kind : str
        ``kind`` is chosen, baseline or benchmark.
    targets : ndarray, shape (T, S)
        Weights wanted at each bar; a row of NaN means no trade.
    """

    name: str
    kind: str
    targets: Matrix


@dataclass(frozen=True)
class Follower:
    """How scores become weights: one rule for the models and the baselines.

    Attributes
    ----------
    view : View
    band_share : float or None
    renewed_bars : int
        Bars after which a book trades again.
    blocks : tuple of slice
        Bars of each split: a book enters each of them anew.
    """

    view: View
    band_share: float | None
    renewed_bars: int
    blocks: tuple[slice, ...]

    def targets(self, score: Matrix, tradable: npt.NDArray[np.bool_]) -> Matrix:
        """Weights that follow a score, NaN outside the blocks.

        As on the leaderboard, a tradable cell without a score gets the median of its
        bar; over time there is no opinion on it.

        Parameters
        ----------
        score : ndarray, shape (T, S)
        tradable : ndarray of bool, shape (T, S)
        """
        wanted = np.full(score.shape, np.nan)
        for bars in self.blocks:
            cells = tradable[bars]
            given = np.where(cells, score[bars], np.nan).astype(np.float64)
            if not self.view.over_time:
                given = fill_with_median(given, cells)
            wanted[bars] = self._weights(given)
        return wanted

    def _weights(self, score: Matrix) -> Matrix:
        if self.band_share is None:
            return self.view.weights(score)
        return banded_weights(
            score,
            self.view.tail_share,
            self.band_share,
            horizon_bars=self.renewed_bars,
            min_symbols=self.view.min_symbols,
        )


def view_of(panel: Panel, config: BacktestConfig, evaluation: EvaluationConfig) -> View:
    """Take the view of the evaluation, with the backtest's own tails where it has some.

    Raises
    ------
    UserError
        For a holding band narrower than the tails, or in a universe without ranks.
    """
    least, few = evaluation.min_symbols_per_timestamp, evaluation.min_symbols_for_ranks
    over_time = panel.n_symbols < few
    share = config.tail_share or evaluation.tail_share
    if config.band_share is not None and over_time:
        raise UserError(
            f"backtest.band_share {config.band_share:g}: {panel.n_symbols} symbols are "
            "held over time and have no tails; set it to null"
        )
    if config.band_share is not None and config.band_share < share:
        raise UserError(
            f"backtest.band_share {config.band_share:g} is narrower than the tails, "
            f"{share:g}; give {share:g} ... 0.5, or null"
        )
    return View(over_time, few if panel.n_symbols < least else least, share)


def held_row(
    leaderboard: pd.DataFrame, config: BacktestConfig
) -> Mapping[str, Any] | None:
    """Row of the leaderboard that is held; None where no model was trained.

    Raises
    ------
    UserError
        Where the row that the parameters name is none or several of the leaderboard's.
    """
    chosen = leaderboard["kind"].eq("model") & leaderboard["chosen"]
    if config.model_id is None and config.target is None and not chosen.any():
        return None
    return model_row(leaderboard, "backtest", config.model_id, config.target)


def row_score(
    row: Mapping[str, Any],
    models: Sequence[pd.DataFrame],
    predictions: Sequence[pd.DataFrame],
    panel: Panel,
) -> Matrix:
    """Scores of one row of the leaderboard, shape (T, S).

    Raises
    ------
    UserError
        Where the predictions hold none of them.
    """
    model_id, target = str(row["model_id"]), str(row["target"])
    names = members(models, model_id, target)
    score = np.full((panel.n_bars, panel.n_symbols), np.nan)
    for table in predictions:
        own = table[table["model_id"].isin(names) & (table["target"] == target)]
        if len(own):
            bars, symbols = locate(panel, own, "predictions")
            score[bars, symbols] = own["score"].to_numpy(np.float64)
    if not np.isfinite(score).any():
        raise UserError(
            f"predictions: no score of '{model_id}' for {target}, which is on the "
            "leaderboard; predictions and leaderboard must come from the same run"
        )
    return score


def reference_books(
    panel: Panel,
    follower: Follower,
    decided: npt.NDArray[np.bool_],
    config: BacktestConfig,
    seed: int,
) -> list[Book]:
    """Six baselines by the same rules, and the equal-weight market.

    Parameters
    ----------
    panel : Panel
    follower : Follower
    decided : ndarray of bool, shape (T,)
        Bars on which something is decided.
    config : BacktestConfig
    seed : int
        Of the random baseline.
    """
    tradable = panel.tradable.T & decided[:, None]
    books = [
        Book(name, BASELINE, follower.targets(score, tradable))
        for name, score in baseline_scores(panel, seed).items()
    ]
    if config.benchmark is not None:
        books.append(Book(MARKET, BENCHMARK, equal_weights(tradable)))
    return books
