"""Row ranks: average ranks within the rows of a matrix, all rows at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def row_ranks(values: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Rank the finite values of each row, 1 for the smallest, ties averaged.

    Parameters
    ----------
    values : ndarray, shape (T, S)

    Returns
    -------
    ndarray of float64, shape (T, S)
        NaN where the value is not finite.
    """
    finite = np.isfinite(values)
    clean = np.where(finite, values, np.nan)
    order = np.argsort(clean, axis=1)  # NaN goes last
    ordered = np.take_along_axis(clean, order, axis=1)
    place = np.broadcast_to(np.arange(values.shape[1]), values.shape)
    starts = np.ones(values.shape, dtype=bool)
    starts[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    first = np.maximum.accumulate(np.where(starts, place, 0), axis=1)
    ends = np.ones(values.shape, dtype=bool)
    ends[:, :-1] = starts[:, 1:]
    last = np.where(ends, place, values.shape[1])
    last = np.minimum.accumulate(last[:, ::-1], axis=1)[:, ::-1]
    ranks = np.empty(values.shape)
    np.put_along_axis(ranks, order, (first + last) / 2 + 1, axis=1)
    ranks[~finite] = np.nan
    return ranks
