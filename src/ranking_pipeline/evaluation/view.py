"""View: scores compared within bars, or over time where a universe is a handful."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ranking_pipeline.evaluation import metrics
from ranking_pipeline.evaluation.over_time import time_series_auc_skill, time_series_ic
from ranking_pipeline.portfolio.backtest import target_weights

Matrix = npt.NDArray[np.float64]
Series = npt.NDArray[np.float64]

FEWEST_BARS = 20  # of a symbol, before its own past says where a score stands


@dataclass(frozen=True)
class View:
    """What a score is compared with.

    Attributes
    ----------
    over_time : bool
        False: with the other symbols of its bar. True: with the scores of its own
        symbol at other bars, for universes that have no cross-section.
    min_symbols : int
        Fewest symbols with which a bar is measured or traded, within bars.
    tail_share : float
        Share of the symbols in each tail, within bars.
    """

    over_time: bool
    min_symbols: int
    tail_share: float

    def ic(self, score: Matrix, payoff: Matrix) -> Series:
        """Rank correlation per bar, or each bar's share in the one over time."""
        if self.over_time:
            return time_series_ic(score, payoff, FEWEST_BARS)
        return metrics.rank_ic(score, payoff, self.min_symbols)

    def auc_skill(self, score: Matrix, label: Matrix, negative: int) -> Series:
        """2 AUC - 1 per bar, or each bar's share in the one over time."""
        if self.over_time:
            return time_series_auc_skill(score, label, 5, negative)
        return metrics.auc_skill(score, label, negative=negative)

    def weights(self, score: Matrix) -> Matrix:
        """Weights wanted at each bar, shape (T, S): the tails, or a place by its past."""
        if self.over_time:
            return timing_weights(score)
        return target_weights(score, self.tail_share, self.min_symbols)

    def spread(self, score: Matrix, payoff: Matrix) -> Series:
        """Payoff of the book entered at each bar, shape (T,)."""
        if not self.over_time:
            return metrics.tail_spread(score, payoff, self.tail_share, self.min_symbols)
        earned = timing_weights(score) * payoff
        known = np.isfinite(earned).any(axis=1)
        return np.where(known, np.nansum(earned, axis=1), np.nan)

    def decile_means(self, score: Matrix, payoff: Matrix) -> Matrix:
        """Mean payoff by decile of the score, shape (bars or symbols, 10)."""
        if self.over_time:
            return metrics.decile_means(score.T, payoff.T, FEWEST_BARS)
        return metrics.decile_means(score, payoff, self.min_symbols)


def timing_weights(score: Matrix) -> Matrix:
    """Weight of each symbol by the place of its score among its own past scores.

    A score at the top of its past gives +1/S, one at the bottom -1/S, the middle 0: at
    most the whole capital, and nothing is known of later scores.

    Parameters
    ----------
    score : ndarray, shape (T, S)

    Returns
    -------
    ndarray of float64, shape (T, S)
        NaN without a score or with fewer than 20 scores so far; a row of NaN is no
        trade.
    """
    n_bars, n_symbols = score.shape
    weights = np.full(score.shape, np.nan)
    for bar in range(n_bars):
        now, past = score[bar], score[: bar + 1]
        with np.errstate(invalid="ignore"):
            below, above = (past < now).sum(axis=0), (past > now).sum(axis=0)
        seen = np.isfinite(past).sum(axis=0)
        known = np.isfinite(now) & (seen >= FEWEST_BARS)
        place = (below - above) / np.maximum(seen - 1, 1)
        weights[bar, known] = place[known] / n_symbols
    return weights
