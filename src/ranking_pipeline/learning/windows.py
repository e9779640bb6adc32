"""Resident inputs: every window is gathered on the device, none is ever stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ranking_pipeline.learning.window_tables import (
    WindowTables,
    WindowTransform,
    window_transform,
)

__all__ = [
    "BoolArray",
    "Inputs",
    "ResidentPanel",
    "ResidentRows",
    "WindowTransform",
    "complete_windows",
    "window_transform",
]

BoolArray = npt.NDArray[np.bool_]
Spans = tuple[tuple[int, int], ...]

_LARGEST_INT32 = 2**31 - 1
# Numbers that a pass over a panel too large for memory looks at together.
_VALUES_AT_ONCE = 1 << 20


class Inputs(Protocol):
    """What the loop asks of its inputs.

    Decision bars come in spans: the windows of one span are on the device together.
    Resident inputs have a single span.
    """

    @property
    def device(self) -> torch.device:
        """Where the windows are gathered."""

    @property
    def sample_shape(self) -> tuple[int, int]:
        """(L, C) of one window."""

    @property
    def valid(self) -> BoolArray:
        """Cells (T, S) whose window is complete, but for the bars that it may lack."""

    @property
    def spans(self) -> Spans:
        """Ranges [first, stop) of decision bars; they follow each other and cover T."""

    @property
    def series_ready(self) -> bool:
        """Whether a window is a plain slice of a series: nothing is done to it."""

    def open(self, span: int, following: int | None = None) -> Inputs:
        """Bring a span to the device, and begin to fetch the following one.

        What is returned takes bars of the whole panel, those of the span alone.
        """

    def windows(self, symbols: Tensor, bars: Tensor) -> Tensor:
        """Windows (N, L, C) that end at the given cells (N,), int32 or int64."""


@dataclass(frozen=True)
class ResidentPanel:
    """The channels of a panel, or of a span of its bars, on one device.

    Parameters
    ----------
    values : Tensor of float32, shape (S, T, C), contiguous
        Symbol-major, so that a window is L * C consecutive numbers. NaN where a channel
        is not known.
    length : int
        Bars L in a window; the window of bar t holds t - L + 1 ... t.
    valid : ndarray of bool, shape (T, S)
        See :func:`complete_windows`; on the host.
    tables : WindowTables or None
        What a normalisation takes from each window.
    first_bar : int
        Bar of the whole panel that ``values[:, 0]`` holds; ``valid`` and the bars that
        are asked for count from the start of the whole panel.
    """

    values: Tensor
    length: int
    valid: BoolArray
    tables: WindowTables | None = None
    first_bar: int = 0

    @classmethod
    def build(
        cls,
        channels: npt.NDArray[np.floating],
        length: int,
        device: torch.device | str = "cpu",
        transform: WindowTransform | None = None,
        max_missing: int = 0,
    ) -> ResidentPanel:
        """Upload channels (S, T, C) once, mark complete windows, and find the tables."""
        host = np.require(channels, dtype=np.float32, requirements=["C", "W"])
        values = torch.from_numpy(host).to(device)
        tables = None if transform is None else transform.tables(values, length)
        valid = complete_windows(channels, length, max_missing)
        return cls(values, length, valid, tables)

    @property
    def device(self) -> torch.device:
        """Where the values live."""
        return self.values.device

    @property
    def sample_shape(self) -> tuple[int, int]:
        """(L, C) of one window."""
        return self.length, self.values.shape[2]

    @property
    def spans(self) -> Spans:
        """One: all bars."""
        return ((0, len(self.valid)),)

    @property
    def series_ready(self) -> bool:
        """Whether windows are plain slices of the series."""
        return self.tables is None

    def open(self, span: int, following: int | None = None) -> ResidentPanel:
        """All bars are here already."""
        return self

    def windows(self, symbols: Tensor, bars: Tensor) -> Tensor:
        """Windows (N, L, C) that end at the given cells; the cells must be valid.

        The view overlaps itself and is only ever read: a write through it would be
        undefined.
        """
        n_symbols, n_bars, n_channels = self.values.shape
        starts = n_symbols * n_bars - self.length + 1
        view = self.values.as_strided(
            (starts, self.length * n_channels), (n_channels, 1)
        )
        if starts > _LARGEST_INT32:
            symbols, bars = symbols.long(), bars.long()
        cell = torch.add(bars, symbols, alpha=n_bars)
        first = cell - (self.first_bar + self.length - 1)  # (N,)
        windows = view.index_select(0, first).view(-1, self.length, n_channels)
        return windows if self.tables is None else self.tables.apply_(windows, first)

    def series(self, first: int, stop: int) -> Tensor:
        """Channels (S, stop - first, C) of the bars first ... stop - 1; a view."""
        return self.values[:, first - self.first_bar : stop - self.first_bar]


@dataclass(frozen=True)
class ResidentRows:
    """One vector of factors per row: windows of a single bar.

    Parameters
    ----------
    values : Tensor of float32, shape (n, F)
    row_of : Tensor of int32, shape (S * T,)
        Row that holds cell (symbol, bar), at symbol * T + bar; -1 where there is none.
    n_bars : int
        T.
    valid : ndarray of bool, shape (T, S)
        Where there is a row; on the host.
    """

    values: Tensor
    row_of: Tensor
    n_bars: int
    valid: BoolArray

    @classmethod
    def build(
        cls,
        values: npt.NDArray[np.float32],
        bars: npt.NDArray[np.intp],
        symbols: npt.NDArray[np.intp],
        shape: tuple[int, int],
        device: torch.device | str = "cpu",
    ) -> ResidentRows:
        """Upload rows (n, F) that belong to the cells (bars, symbols) of (T, S)."""
        row_of = np.full(shape[1] * shape[0], -1, dtype=np.int32)
        row_of[symbols * shape[0] + bars] = np.arange(len(bars), dtype=np.int32)
        return cls(
            torch.from_numpy(np.ascontiguousarray(values)).to(device),
            torch.from_numpy(row_of).to(device),
            shape[0],
            (row_of >= 0).reshape(shape[1], shape[0]).T,
        )

    @property
    def device(self) -> torch.device:
        """Where the values live."""
        return self.values.device

    @property
    def sample_shape(self) -> tuple[int, int]:
        """(1, F)."""
        return 1, self.values.shape[1]

    @property
    def spans(self) -> Spans:
        """One: all bars."""
        return ((0, self.n_bars),)

    @property
    def series_ready(self) -> bool:
        """Never: rows are not a series."""
        return False

    def open(self, span: int, following: int | None = None) -> ResidentRows:
        """All rows are here already."""
        return self

    def windows(self, symbols: Tensor, bars: Tensor) -> Tensor:
        """Rows (N, 1, F) of the given cells; the cells must be valid."""
        if len(self.row_of) > _LARGEST_INT32:
            symbols, bars = symbols.long(), bars.long()
        cell = torch.add(bars, symbols, alpha=self.n_bars)
        rows = self.row_of.index_select(0, cell)  # (N,)
        return self.values.index_select(0, rows).unsqueeze(1)


def complete_windows(
    channels: npt.NDArray[np.floating], length: int, max_missing: int = 0
) -> BoolArray:
    """Where the ``length`` bars that end at a cell are known in every channel.

    Up to ``max_missing`` of them may be missing, the last one never. They stay NaN in
    the gathered window: only a network that masks them can be shown such windows.

    Counts missing bars with one running integer sum: O(S T), whatever the length, and
    reads a few symbols at a time: a memory map is never loaded whole.

    Parameters
    ----------
    channels : ndarray, shape (S, T, C)
    length : int
    max_missing : int

    Returns
    -------
    ndarray of bool, shape (T, S)
    """
    n_symbols, n_bars, n_channels = channels.shape
    complete = np.zeros((n_symbols, n_bars), dtype=np.bool_)
    if n_bars >= length:
        block = max(1, _VALUES_AT_ONCE // (n_bars * n_channels))
        for first in range(0, n_symbols, block):
            part = slice(first, first + block)
            complete[part, length - 1 :] = _nearly_whole(
                channels[part], length, max_missing
            )
    return complete.T


def _nearly_whole(
    channels: npt.NDArray[np.floating], length: int, max_missing: int
) -> BoolArray:
    """Windows (s, T - L + 1) of a few symbols that lack few bars, and not the last."""
    finite = np.isfinite(channels)
    known = finite[:, :, 0].copy()
    for channel in range(1, channels.shape[2]):
        known &= finite[:, :, channel]
    total = np.zeros((len(known), known.shape[1] + 1), dtype=np.int32)
    np.cumsum(known, axis=1, dtype=np.int32, out=total[:, 1:])
    enough = total[:, length:] - total[:, :-length] >= length - max_missing
    return np.asarray(enough & known[:, length - 1 :])
