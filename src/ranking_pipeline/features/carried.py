"""Carried: what accumulates over the whole history, handed from block to block."""

from __future__ import annotations

import numpy as np

from ranking_pipeline.features.windows import Array


class Carried:
    """What accumulated before a block of bars, handed from block to block.

    Parameters
    ----------
    before : dict of str to ndarray, shape (S,)
        What had accumulated at the bar before ``first_bar``; empty for the first block.
    first_bar : int
        Bar of this block from which on its own bars count.
    next_bar : int
        Bar of this block that will be the ``first_bar`` of the next one; below 1 where
        that one begins with the history.

    Attributes
    ----------
    after : dict of str to ndarray, shape (S,)
        The ``before`` of the next block.
    """

    def __init__(self, before: dict[str, Array], first_bar: int, next_bar: int) -> None:
        self._before, self._first, self._next = before, first_bar, next_bar
        self.after: dict[str, Array] = {}

    def accumulate(
        self, series: Array, join: np.ufunc, key: str, rows: slice, n_symbols: int
    ) -> Array:
        """Accumulate the series of some symbols, NaN before the first bar; (s, T)."""
        accumulated = np.full_like(series, np.nan)
        own, begin = series[:, self._first :], self._first
        if key in self._before:
            own = np.concatenate([self._before[key][rows, None], own], axis=1)
            begin -= 1
        accumulated[:, begin:] = join.accumulate(own, axis=1)
        if self._next > 0:
            after = self.after.setdefault(key, np.full(n_symbols, np.nan))
            after[rows] = accumulated[:, self._next - 1]
        return accumulated
