"""Queries: the bars of a ranking problem, each with the grades of its names."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ranking_pipeline.errors import UserError
from ranking_pipeline.models.samples import Samples
from ranking_pipeline.row_ranks import average_ranks


@dataclass(frozen=True)
class Queries:
    """Rows grouped by bar: one bar is one query, its names are the documents.

    Attributes
    ----------
    rows : Samples
        Of bars that have two names or more; a name alone has nothing to be ranked
        against.
    sizes : ndarray of int32, shape (Q,)
        Names of each bar, in the order of the rows; sums to n.
    grades : ndarray of int32, shape (n,)
        Relevance 0 ... n_grades - 1: the quantile bin of the target within its bar.
    """

    rows: Samples
    sizes: npt.NDArray[np.int32]
    grades: npt.NDArray[np.int32]

    @classmethod
    def build(cls, rows: Samples, n_grades: int) -> Queries:
        """Group labelled rows by bar and grade them.

        Libraries take groups as consecutive rows, so that unsorted rows would be
        compared with those of other bars.

        Raises
        ------
        UserError
            When the rows are not sorted by bar.
        """
        if (np.diff(rows.bars) < 0).any():
            raise UserError(
                "rows of a ranking problem are not sorted by bar; sort them by "
                "(bar, symbol), as assemble() does."
            )
        _, place, counts = np.unique(rows.bars, return_inverse=True, return_counts=True)
        kept = rows.take(counts[place] > 1)
        sizes = counts[counts > 1].astype(np.int32)
        return cls(kept, sizes, grades(kept.target, kept.bars, n_grades))

    def __len__(self) -> int:
        return len(self.sizes)

    @property
    def weight(self) -> npt.NDArray[np.float32] | None:
        """Mean weight of the names of each bar, shape (Q,); None without weights."""
        if self.rows.weight is None:
            return None
        starts = np.cumsum(self.sizes) - self.sizes
        sums = np.add.reduceat(self.rows.weight.astype(np.float64), starts)
        return np.asarray(sums / self.sizes, dtype=np.float32)

    @property
    def row_weight(self) -> npt.NDArray[np.float32] | None:
        """The bar's weight for each of its rows, shape (n,); None without weights."""
        weight = self.weight
        return None if weight is None else np.repeat(weight, self.sizes)


def grades(
    target: npt.NDArray[np.floating], bars: npt.NDArray[np.integer], n_grades: int
) -> npt.NDArray[np.int32]:
    """Quantile bin of each target within its bar, 0 for the lowest.

    The bin is floor(G (r - 1/2) / n) for the average rank r among the bar's n names, so
    that equal targets have equal grades.

    Parameters
    ----------
    target : ndarray, shape (n,)
        Finite.
    bars : ndarray of int, shape (n,)
    n_grades : int
        G.

    Returns
    -------
    ndarray of int32, shape (n,)
    """
    if not len(target):
        return np.zeros(0, dtype=np.int32)
    rank, size = average_ranks(target.astype(np.float64), bars)
    return np.floor(n_grades * (rank - 0.5) / size).astype(np.int32)
