"""Row ranks: average ranks within the rows of a matrix, or within groups of rows."""

from __future__ import annotations

from dataclasses import dataclass

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


def percentile_ranks(values: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Average rank divided by n + 1 over the n finite values of each row.

    Parameters
    ----------
    values : ndarray, shape (T, S)

    Returns
    -------
    ndarray of float64, shape (T, S)
        Strictly inside (0, 1); NaN where the value is not finite.
    """
    ranks = row_ranks(values)
    ranks /= np.isfinite(ranks).sum(axis=1, keepdims=True) + 1
    return ranks


@dataclass(frozen=True)
class Groups:
    """Rows in any order, laid out as a matrix with one line for each group.

    Attributes
    ----------
    line, place : ndarray of int, shape (n,)
        Where each row stands in the matrix.
    size : ndarray of int, shape (G,)
        Rows of each group.
    """

    line: npt.NDArray[np.intp]
    place: npt.NDArray[np.intp]
    size: npt.NDArray[np.intp]

    @classmethod
    def of(cls, keys: npt.NDArray[np.integer]) -> Groups:
        """Lay rows with the same key (n,) into one line."""
        _, line, size = np.unique(keys, return_inverse=True, return_counts=True)
        order = np.argsort(line, kind="stable")
        place = np.empty(len(line), dtype=np.intp)
        place[order] = np.arange(len(line)) - np.repeat(np.cumsum(size) - size, size)
        return cls(line, place, size)

    def ranks(self, values: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        """Average rank (n,) of each finite value in its group; see :func:`row_ranks`."""
        return row_ranks(self._laid_out(values))[self.line, self.place]

    def percentile_ranks(
        self, values: npt.NDArray[np.floating]
    ) -> npt.NDArray[np.float64]:
        """Average rank / (n + 1), shape (n,); see :func:`percentile_ranks`."""
        return percentile_ranks(self._laid_out(values))[self.line, self.place]

    def _laid_out(self, values: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
        shape = (len(self.size), int(self.size.max(initial=0)))
        matrix = np.full(shape, np.nan, dtype=values.dtype)
        matrix[self.line, self.place] = values
        return matrix


def average_ranks(
    values: npt.NDArray[np.floating], keys: npt.NDArray[np.integer]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.intp]]:
    """Average rank (1 = smallest) of each value in its group, and the group's size.

    Parameters
    ----------
    values : ndarray, shape (n,)
        Finite; equal values share the mean of their ranks.
    keys : ndarray of int, shape (n,)
        Rows with the same key, such as a bar, are one group.

    Returns
    -------
    tuple of ndarray, shape (n,) each
    """
    groups = Groups.of(keys)
    return groups.ranks(values), groups.size[groups.line]


def percentile_ranks_within(
    values: npt.NDArray[np.floating], keys: npt.NDArray[np.integer]
) -> npt.NDArray[np.float64]:
    """Average rank / (n + 1) of each value (n,) in its group; NaN stays NaN."""
    return Groups.of(keys).percentile_ranks(values)
