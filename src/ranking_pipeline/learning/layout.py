"""Layout: where the cells of a batch sit in its matrix of bars and symbols."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor


@dataclass(frozen=True)
class Layout:
    """Places of N cells in a matrix of B bars and S symbols.

    Attributes
    ----------
    slots : Tensor of int64, shape (N,)
        Place of each cell in the flattened (B, S) matrix, ascending.
    mask : Tensor of bool, shape (B, S)
        Set at the slots.
    counts : ndarray of int64, shape (B,)
        Cells of each bar, on the host: sizes are known without asking the device.
    """

    slots: Tensor
    mask: Tensor
    counts: npt.NDArray[np.int64]

    def part(self, cells: slice, rows: slice) -> Layout:
        """Layout of some rows, or of some of the cells of all rows.

        Parameters
        ----------
        cells : slice
            Of the N cells.
        rows : slice
            Of the B bars; it must hold all of the cells.
        """
        shift = rows.start * self.mask.shape[1]
        slots = self.slots[cells] - shift if shift else self.slots[cells]
        return Layout(slots, self.mask[rows], self.counts[rows])

    def spread(self, values: Tensor) -> Tensor:
        """Scatter values (N, ...) of the cells into (B, S, ...); 0 elsewhere."""
        n_bars, n_symbols = self.mask.shape
        tail = values.shape[1:]
        matrix = values.new_zeros((n_bars * n_symbols, *tail))
        return matrix.index_copy(0, self.slots, values).view(n_bars, n_symbols, *tail)

    def collect(self, matrix: Tensor) -> Tensor:
        """Take the cells (N, ...) out of a matrix (B, S, ...)."""
        return matrix.flatten(0, 1).index_select(0, self.slots)
