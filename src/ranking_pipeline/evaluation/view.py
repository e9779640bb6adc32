"""View: scores compared within bars, or over time where a universe is a handful."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
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
            wanted = timing_weights(score)
            known = np.isfinite(wanted).any(axis=1, keepdims=True)
            # no opinion on one symbol is no position in it, and stops no other
            return np.where(known, np.nan_to_num(wanted), np.nan)
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
        NaN without a score or with fewer than 20 scores so far.
    """
    weights = np.full(score.shape, np.nan)
    for symbol, own in enumerate(score.T):
        past: list[float] = []
        for bar in np.flatnonzero(np.isfinite(own)):
            below, up_to = bisect_left(past, own[bar]), bisect_right(past, own[bar])
            place = (below - (len(past) - up_to)) / max(len(past), 1)
            insort(past, own[bar])
            if len(past) >= FEWEST_BARS:
                weights[bar, symbol] = place / score.shape[1]
    return weights
