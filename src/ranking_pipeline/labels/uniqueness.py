"""Average uniqueness: how much of each label is its own, among overlapping ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Weights = npt.NDArray[np.float64]


def average_uniqueness(
    bars: npt.NDArray[Any],
    label_end: npt.NDArray[Any],
    symbols: npt.NDArray[Any],
    entry_lag_bars: int,
) -> Weights:
    """Weigh each row by the share of its label that no other row's label covers.

    Parameters
    ----------
    bars, label_end : ndarray of int, shape (n,)
        Bar of the decision and bar at which its label is known, -1 for never.
    symbols : ndarray of int, shape (n,)
        Code of each row's symbol; labels of different symbols do not overlap.
    entry_lag_bars : int
        Bars from the decision to the entry.

    Returns
    -------
    ndarray of float64, shape (n,)
        In (0, 1]; NaN where the label is never known. 1 / H for every label of H bars
        that is followed and preceded by one at each bar.

    Notes
    -----
    A label spans the one-bar returns of t+lag+1 ... label_end. The concurrency of a bar
    is the number of labels that span it, and the uniqueness of a label the mean of
    1 / concurrency over its span. Source: López de Prado (2018), chapter 4.

    The concurrency at the end of a span counts labels of later decisions. Computed on
    more rows than a fit may see, the weights tell how many labels come after the train
    span, which is knowledge of the future: each fit computes them on its own rows, after
    the purge. They are therefore a function and no column of the label table.
    """
    weights = np.full(len(bars), np.nan)
    known = np.asarray(label_end) >= 0
    if not known.any():
        return weights
    first = np.asarray(bars)[known].astype(np.int64) + entry_lag_bars + 1
    last = np.asarray(label_end)[known].astype(np.int64)
    if (last < first).any():
        raise ValueError("a label ends before its first return; check entry_lag_bars")
    _, symbol = np.unique(np.asarray(symbols)[known], return_inverse=True)
    start = first.min()
    width = int(last.max() - start) + 2
    # One line of bars: symbol after symbol, one free bar behind each.
    opens, closes = symbol * width + first - start, symbol * width + last - start + 1
    size = int(symbol.max() + 1) * width
    steps = np.bincount(opens, minlength=size) - np.bincount(closes, minlength=size)
    concurrency = np.cumsum(steps)
    share = 1.0 / np.maximum(concurrency, 1)
    total = np.concatenate([[0.0], np.cumsum(share)])
    own = (total[closes] - total[opens]) / (last - first + 1)
    weights[known] = np.minimum(own, 1.0)  # rounding of the sums apart
    return weights
