"""Mean rank IC: what boosted ranking trees are stopped by."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ranking_pipeline.row_ranks import average_ranks

FloatArray = npt.NDArray[np.float64]


class MeanRankIC:
    """Mean over bars of Spearman's correlation of scores with targets (Spearman, 1904).

    Everything that the targets decide is computed once; a call ranks the scores.

    Parameters
    ----------
    target : ndarray, shape (n,)
        Finite.
    bars : ndarray of int, shape (n,)
        Bar of each row, in any order.
    weight : ndarray, shape (n,), or None
        A bar counts by the mean weight of its rows; None: all count alike.
    """

    def __init__(
        self,
        target: npt.NDArray[np.floating],
        bars: npt.NDArray[np.integer],
        weight: npt.NDArray[np.floating] | None = None,
    ) -> None:
        _, self._bar = np.unique(bars, return_inverse=True)
        self._target = self._unit_ranks(target)
        # A bar whose targets are all equal has no order to be found.
        told = np.bincount(self._bar, weights=self._target**2) > 0
        self.n_bars = int(told.sum())
        self._share = None
        if weight is not None and self.n_bars:
            mean = np.bincount(self._bar, weights=weight) / np.bincount(self._bar)
            self._share = (mean / mean[told].mean())[self._bar]

    def __call__(self, scores: npt.NDArray[np.floating]) -> float:
        """Mean rank IC of scores (n,); NaN where no bar's targets differ.

        A bar whose scores are all equal counts as 0: a model that says nothing must not
        look better than one that says something.
        """
        if not self.n_bars:
            return float("nan")
        products = self._unit_ranks(scores) * self._target
        if self._share is not None:
            products *= self._share
        return float(products.sum() / self.n_bars)

    def _unit_ranks(self, values: npt.NDArray[np.floating]) -> FloatArray:
        """Ranks within the bar, centred, with a sum of squares of one (or zero)."""
        if not len(values):
            return np.zeros(0)
        rank, size = average_ranks(values.astype(np.float64), self._bar)
        centred = rank - (size + 1) / 2
        squares = np.bincount(self._bar, weights=centred**2)[self._bar]
        return np.asarray(centred / np.sqrt(np.where(squares > 0, squares, 1.0)))
