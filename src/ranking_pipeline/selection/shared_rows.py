"""Shared rows: some rows of a table that several problems read and none copies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_CELLS_AT_ONCE = 2_000_000


@dataclass(frozen=True)
class SharedRows:
    """Rows of a table; with 500 features a copy of them is a third of a gigabyte.

    Parameters
    ----------
    table : ndarray of float32, shape (N, F)
    rows : ndarray of int, shape (n,), or None
        Positions; None for all N.
    """

    table: npt.NDArray[np.float32]
    rows: npt.NDArray[np.intp] | None = None

    def take(self, rows: npt.NDArray[np.integer]) -> SharedRows:
        """Keep some of the rows, which are positions among these."""
        kept = np.asarray(rows, dtype=np.intp)
        return SharedRows(self.table, kept if self.rows is None else self.rows[kept])

    def columns(self, columns: Sequence[int]) -> npt.NDArray[np.float32]:
        """Copy some columns, shape (n, len(columns)), each contiguous.

        The order of the axes in memory is part of the result: the last bits of a mean
        over the rows depend on it.
        """
        if self.rows is None:
            return np.asfortranarray(self.table[:, columns])
        taken = np.empty((len(self.rows), len(columns)), dtype=np.float32, order="F")
        step = max(1, _CELLS_AT_ONCE // max(self.table.shape[1], 1))
        for start in range(0, len(self.rows), step):
            part = slice(start, start + step)
            taken[part] = self.table[self.rows[part]][:, columns]
        return taken
