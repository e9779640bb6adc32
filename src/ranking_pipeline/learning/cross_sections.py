"""Cross-sections: the cells of one block of bars, and the batches cut from them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ranking_pipeline.learning.windows import BoolArray, Inputs

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Batch:
    """The whole cross-sections of B bars; N cells in all.

    Attributes
    ----------
    windows : Tensor, shape (N, L, C)
        Of the valid cells alone: padding is never computed.
    slots : Tensor of int64, shape (N,)
        Place of each cell in the flattened (B, S) matrix.
    targets : Tensor, shape (B, S)
    mask : Tensor of bool, shape (B, S)
    """

    windows: Tensor
    slots: Tensor
    targets: Tensor
    mask: Tensor

    def spread(self, scores: Tensor) -> Tensor:
        """Scatter scores (N,) or (N, K) of the cells into (B, S) or (B, S, K)."""
        n_bars, n_symbols = self.mask.shape
        tail = scores.shape[1:]
        matrix = scores.new_zeros((n_bars * n_symbols, *tail))
        return matrix.index_copy(0, self.slots, scores).view(n_bars, n_symbols, *tail)


@dataclass(frozen=True)
class CrossSections:
    """The cells of a block, grouped by bar.

    Offsets are kept on the host and on the device: the host knows the size of every
    batch without asking the device.

    Attributes
    ----------
    inputs : Inputs
    targets : Tensor of float32, shape (T, S), on the device
    bars : ndarray of int64, shape (n_bars,)
        Bars that have enough symbols, ascending.
    offsets : ndarray of int64, shape (n_bars + 1,)
        Cells offsets[i] ... offsets[i + 1] - 1 belong to bars[i].
    symbols : ndarray of int64, shape (n_cells,)
    n_dropped : int
        Bars with some cells but too few.
    """

    inputs: Inputs
    targets: Tensor
    bars: IntArray
    offsets: IntArray
    symbols: IntArray
    n_dropped: int
    bars_on_device: Tensor
    offsets_on_device: Tensor
    symbols_on_device: Tensor

    @classmethod
    def build(
        cls,
        inputs: Inputs,
        targets: npt.NDArray[np.floating],
        cells: BoolArray,
        min_symbols: int = 1,
    ) -> CrossSections:
        """Collect the cells that are asked for, complete and labelled.

        Parameters
        ----------
        inputs : Inputs
        targets : ndarray, shape (T, S)
            NaN where the label is unknown: such a cell is left out.
        cells : ndarray of bool, shape (T, S)
            The block: for example the rows of the train split.
        min_symbols : int
            Bars with fewer cells are dropped.
        """
        usable = cells & inputs.valid & np.isfinite(targets)
        counts = usable.sum(axis=1)
        enough = counts >= max(1, min_symbols)
        symbols = np.nonzero(usable & enough[:, None])[1]
        kept = np.flatnonzero(enough)
        offsets = np.concatenate([[0], np.cumsum(counts[kept])]).astype(np.int64)
        dropped = int(((counts > 0) & ~enough).sum())
        device = inputs.device
        return cls(
            inputs,
            torch.from_numpy(targets.astype(np.float32)).to(device),
            *_on_both(kept, offsets, symbols, dropped, device),
        )

    @property
    def n_bars(self) -> int:
        """Number of bars kept."""
        return len(self.bars)

    @property
    def n_cells(self) -> int:
        """Number of cells kept."""
        return len(self.symbols)

    def sampled(self, symbols_per_bar: int, seed: tuple[int, ...]) -> CrossSections:
        """At most ``symbols_per_bar`` cells of each bar, drawn without replacement."""
        keys = np.random.default_rng(seed).random(self.n_cells)
        counts = np.diff(self.offsets)
        row = np.repeat(np.arange(self.n_bars), counts)
        order = np.lexsort((keys, row))
        place = np.arange(self.n_cells) - np.repeat(self.offsets[:-1], counts)
        chosen = np.sort(order[place < symbols_per_bar])
        kept = np.minimum(counts, symbols_per_bar)
        offsets = np.concatenate([[0], np.cumsum(kept)]).astype(np.int64)
        fields = _on_both(
            self.bars, offsets, self.symbols[chosen], self.n_dropped, self.inputs.device
        )
        return CrossSections(self.inputs, self.targets, *fields)

    def batches(self, order: IntArray, bars_per_batch: int) -> Iterator[Batch]:
        """Cut the bars at positions ``order`` into batches of whole cross-sections."""
        counts = np.diff(self.offsets)[order]
        uploaded = torch.from_numpy(order).to(self.inputs.device)
        for start in range(0, len(order), bars_per_batch):
            part = slice(start, start + bars_per_batch)
            yield self._batch(uploaded[part], int(counts[part].sum()))

    def _batch(self, rows: Tensor, n_cells: int) -> Batch:
        device, n_symbols = rows.device, self.targets.shape[1]
        first = self.offsets_on_device.index_select(0, rows)  # (B,)
        counts = self.offsets_on_device.index_select(0, rows + 1) - first  # (B,)
        # output_size spares the device a read-back of the total.
        row = torch.repeat_interleave(counts, output_size=n_cells)  # (N,)
        shift = first - (counts.cumsum(0) - counts)  # (B,)
        cell = torch.arange(n_cells, device=device) + shift.index_select(0, row)
        symbol = self.symbols_on_device.index_select(0, cell)  # (N,)
        bars = self.bars_on_device.index_select(0, rows)  # (B,)
        slots = row * n_symbols + symbol  # (N,)
        mask = torch.zeros(len(rows) * n_symbols, dtype=torch.bool, device=device)
        return Batch(
            windows=self.inputs.windows(symbol, bars.index_select(0, row)),
            slots=slots,
            targets=self.targets.index_select(0, bars),
            mask=mask.index_fill_(0, slots, True).view(len(rows), n_symbols),
        )


def _on_both(
    bars: npt.NDArray[np.signedinteger],
    offsets: npt.NDArray[np.signedinteger],
    symbols: npt.NDArray[np.signedinteger],
    n_dropped: int,
    device: torch.device,
) -> tuple[IntArray, IntArray, IntArray, int, Tensor, Tensor, Tensor]:
    host = [part.astype(np.int64) for part in (bars, offsets, symbols)]
    copies = [torch.from_numpy(part).to(device) for part in host]
    return host[0], host[1], host[2], n_dropped, copies[0], copies[1], copies[2]
