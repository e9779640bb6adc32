"""Cross-sections: the cells of one block of bars, and the batches cut from them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ranking_pipeline.learning.layout import Layout
from ranking_pipeline.learning.windows import BoolArray, Inputs

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Batch:
    """The whole cross-sections of B bars; N cells in all.

    Attributes
    ----------
    inputs : Inputs
    symbols, bars : Tensor of int32 and of int64, shape (N,)
        The cells: of the valid ones alone, padding is never computed.
    rows : Tensor of int64, shape (B,)
        Places of the bars in their block.
    layout : Layout
        Places of the cells in the batch.
    host_bars : ndarray of int64, shape (B,)
        The bars, on the host.
    """

    inputs: Inputs
    symbols: Tensor
    bars: Tensor
    rows: Tensor
    layout: Layout
    host_bars: IntArray

    @property
    def n_cells(self) -> int:
        """N, known to the host."""
        return len(self.symbols)

    def windows(self) -> Tensor:
        """Gather the windows (N, L, C) of the cells."""
        return self.inputs.windows(self.symbols, self.bars)

    def part(self, cells: slice, rows: slice) -> Batch:
        """Give some of the bars, or some cells of all bars; ``rows`` hold all cells."""
        return Batch(
            self.inputs,
            self.symbols[cells],
            self.bars[cells],
            self.rows[rows],
            self.layout.part(cells, rows),
            self.host_bars[rows],
        )


@dataclass(frozen=True)
class CrossSections:
    """The cells of a block, grouped by bar.

    The host knows the size of every batch without asking the device. Beside the targets
    and the mask the device holds four bytes a cell.

    Attributes
    ----------
    inputs : Inputs
    targets : Tensor of float32, shape (n_bars, S), on the device
        0 outside the mask.
    mask : Tensor of bool, shape (n_bars, S), on the device
    bars : ndarray of int64, shape (n_bars,)
        Bars that have enough symbols, ascending.
    offsets : ndarray of int64, shape (n_bars + 1,)
        Cells offsets[i] ... offsets[i + 1] - 1 belong to bars[i].
    symbols : ndarray of int16 or, of very many symbols, int32, shape (n_cells,)
    n_dropped : int
        Bars with some cells but too few.
    symbols_on_device : Tensor of int16 or, of very many symbols, int32, (n_cells,)
    weights : Tensor of float32, shape (n_bars, S), or None, on the device
        How much each cell counts; 0 outside the mask. None: all count alike.
    """

    inputs: Inputs
    targets: Tensor
    mask: Tensor
    bars: IntArray
    offsets: IntArray
    symbols: npt.NDArray[np.signedinteger]
    n_dropped: int
    symbols_on_device: Tensor
    weights: Tensor | None = None

    @classmethod
    def build(
        cls,
        inputs: Inputs,
        targets: npt.NDArray[np.floating],
        cells: BoolArray,
        min_symbols: int = 1,
        weights: npt.NDArray[np.floating] | None = None,
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
        weights : ndarray, shape (T, S), or None
            How much each cell counts, 1 on average; read where there is a cell.
        """
        usable = cells & inputs.valid & np.isfinite(targets)
        counts = usable.sum(axis=1)
        kept = np.flatnonzero(counts >= max(1, min_symbols))
        rows = [targets[kept]] + ([] if weights is None else [weights[kept]])
        known = [
            torch.from_numpy(np.where(usable[kept], row, 0.0).astype(np.float32))
            for row in rows
        ]
        return cls._of(
            inputs,
            [row.to(inputs.device) for row in known],
            usable[kept],
            kept.astype(np.int64),
            int((counts > 0).sum()) - len(kept),
        )

    @classmethod
    def _of(
        cls,
        inputs: Inputs,
        known: list[Tensor],
        mask: BoolArray,
        bars: IntArray,
        n_dropped: int,
    ) -> CrossSections:
        """Blocks from rows (n_bars, S) of mask, targets and, maybe, weights."""
        offsets = np.concatenate([[0], np.cumsum(mask.sum(axis=1))]).astype(np.int64)
        few = mask.shape[1] <= np.iinfo(np.int16).max
        width: npt.DTypeLike = np.int16 if few else np.int32
        symbols = np.nonzero(mask)[1].astype(width)
        return cls(
            inputs,
            known[0],
            torch.from_numpy(mask).to(inputs.device),
            bars,
            offsets,
            symbols,
            n_dropped,
            torch.from_numpy(symbols).to(inputs.device),
            known[1] if len(known) > 1 else None,
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
        mask = self.mask.cpu().numpy()
        keys = np.random.default_rng(seed).random(mask.shape)
        place = np.where(mask, keys, np.inf).argsort(axis=1).argsort(axis=1)
        chosen = mask & (place < symbols_per_bar)
        inside = torch.from_numpy(chosen).to(self.targets.device)
        rows = [self.targets] + ([] if self.weights is None else [self.weights])
        known = [torch.where(inside, row, 0.0) for row in rows]
        return self._of(self.inputs, known, chosen, self.bars, self.n_dropped)

    def span_rows(self) -> list[IntArray]:
        """Positions of the bars of each span of the inputs; some may be empty."""
        edges = [np.searchsorted(self.bars, span) for span in self.inputs.spans]
        return [np.arange(first, stop) for first, stop in edges]

    def opened(self, span: int, following: int | None = None) -> CrossSections:
        """Give the same cells with the inputs of one span on the device.

        Parameters
        ----------
        span : int
        following : int or None
            The span that is opened next, for the inputs to fetch ahead.
        """
        return replace(self, inputs=self.inputs.open(span, following))

    def batches(
        self, order: IntArray, bars_per_batch: int, rank: int = 0, size: int = 1
    ) -> Iterator[Batch]:
        """Cut the bars at positions ``order`` into batches of whole cross-sections.

        Of each batch, process ``rank`` of ``size`` gets every size-th bar.
        """
        return self.cut(pieces(order, bars_per_batch), rank, size)

    def cut(
        self, rows: Sequence[IntArray], rank: int = 0, size: int = 1
    ) -> Iterator[Batch]:
        """Give one batch for each array of positions, see :meth:`batches`."""
        mine = [piece[rank::size] for piece in rows]
        order = np.concatenate([np.empty(0, dtype=np.int64), *mine])
        counts = np.diff(self.offsets)[order]
        first = np.concatenate([[0], np.cumsum(counts)])
        shift = self.offsets[order] - first[:-1]
        # One upload for all batches: a pageable copy in a step could block the host.
        plan = np.stack([order, counts, self.bars[order], shift])
        uploaded = torch.from_numpy(plan).to(self.inputs.device)  # (4, n)
        start = 0
        for piece in mine:
            part = slice(start, start + len(piece))
            cells = (int(first[part.start]), int(first[part.stop]))
            yield self._batch(uploaded[:, part], plan[:, part], cells)
            start = part.stop

    def _batch(self, plan: Tensor, host: IntArray, cells: tuple[int, int]) -> Batch:
        """Make the batch of plan (4, B) = position, size, bar and shift of its bars.

        The cells are numbered through all batches; a bar's shift leads from there to
        its cells in the block.
        """
        rows, sizes = plan[0], plan[1]
        # output_size spares the device a read-back of the total.
        row = torch.repeat_interleave(sizes, output_size=cells[1] - cells[0])  # (N,)
        bars, shift = plan[2:].index_select(1, row)  # (N,), (N,)
        cell = torch.arange(*cells, device=row.device) + shift
        symbols = self.symbols_on_device.index_select(0, cell).int()  # (N,)
        slots = torch.add(symbols, row, alpha=self.mask.shape[1])
        layout = Layout(slots, self.mask.index_select(0, rows), host[1])
        return Batch(self.inputs, symbols, bars, rows, layout, host[2])


def pieces(order: IntArray, length: int) -> list[IntArray]:
    """Cut an order into arrays of ``length``; the last one may be shorter."""
    return [order[start : start + length] for start in range(0, len(order), length)]
