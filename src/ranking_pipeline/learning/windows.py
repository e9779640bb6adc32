"""Resident inputs: every window is gathered on the device, none is ever stored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

BoolArray = npt.NDArray[np.bool_]
WindowTransform = Callable[[Tensor], Tensor]


class Inputs(Protocol):
    """What the loop asks of its inputs."""

    @property
    def device(self) -> torch.device:
        """Where the values live."""

    @property
    def sample_shape(self) -> tuple[int, int]:
        """(L, C) of one window."""

    @property
    def valid(self) -> BoolArray:
        """Cells (T, S) whose window is complete."""

    def windows(self, symbols: Tensor, bars: Tensor) -> Tensor:
        """Windows (N, L, C) that end at the given cells (N,)."""


@dataclass(frozen=True)
class ResidentPanel:
    """The channels of a whole panel on one device.

    Parameters
    ----------
    values : Tensor of float32, shape (S, T, C), contiguous
        Symbol-major, so that a window is L * C consecutive numbers. NaN where a channel
        is not known.
    length : int
        Bars L in a window; the window of bar t holds t - L + 1 ... t.
    valid : ndarray of bool, shape (T, S)
        Where all L bars of the window are known; on the host.
    transform : callable or None
        Applied to gathered windows (N, L, C), see :func:`window_transform`.
    """

    values: Tensor
    length: int
    valid: BoolArray
    transform: WindowTransform | None = None

    @classmethod
    def build(
        cls,
        channels: npt.NDArray[np.float32],
        length: int,
        device: torch.device | str = "cpu",
        transform: WindowTransform | None = None,
    ) -> ResidentPanel:
        """Upload channels (S, T, C) once and mark the complete windows."""
        values = torch.from_numpy(np.ascontiguousarray(channels, dtype=np.float32))
        valid = complete_windows(channels, length)
        return cls(values.to(device), length, valid, transform)

    @property
    def device(self) -> torch.device:
        """Where the values live."""
        return self.values.device

    @property
    def sample_shape(self) -> tuple[int, int]:
        """(L, C) of one window."""
        return self.length, self.values.shape[2]

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
        first = symbols * n_bars + bars - (self.length - 1)  # (N,)
        windows = view.index_select(0, first).view(-1, self.length, n_channels)
        return windows if self.transform is None else self.transform(windows)


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

    def windows(self, symbols: Tensor, bars: Tensor) -> Tensor:
        """Rows (N, 1, F) of the given cells; the cells must be valid."""
        rows = self.row_of.index_select(0, symbols * self.n_bars + bars)  # (N,)
        return self.values.index_select(0, rows).unsqueeze(1)


def window_transform(normalization: str) -> WindowTransform | None:
    """Find what a normalisation still does to a gathered window; None for nothing.

    ``returns`` divides prices by the window's first close and volume by its first
    volume, minus one; ``zscore`` takes each channel to mean 0 and deviation 1 over the
    window.
    """
    return {"returns": _anchored_returns, "zscore": _zscore}.get(normalization)


def _anchored_returns(windows: Tensor) -> Tensor:
    anchor = windows[:, :1, [3, 3, 3, 3, 4]]  # (N, 1, 5): first close, first volume
    return windows / anchor - 1.0


def _zscore(windows: Tensor) -> Tensor:
    centred = windows - windows.mean(dim=1, keepdim=True)
    deviation = centred.square().mean(dim=1, keepdim=True).sqrt()
    # A constant channel says nothing: zero, not a blown-up rounding error.
    size = windows.abs().amax(dim=1, keepdim=True)
    return torch.where(deviation > 1e-6 * size, centred / deviation, 0.0)


def complete_windows(channels: npt.NDArray[np.floating], length: int) -> BoolArray:
    """Where the ``length`` bars that end at a cell are known in every channel.

    Counts missing bars with one running integer sum: O(S T), whatever the length.

    Parameters
    ----------
    channels : ndarray, shape (S, T, C)
    length : int

    Returns
    -------
    ndarray of bool, shape (T, S)
    """
    missing = ~np.isfinite(channels).all(axis=2)  # (S, T)
    n_symbols, n_bars = missing.shape
    if n_bars < length:
        return np.zeros((n_bars, n_symbols), dtype=np.bool_)
    total = np.zeros((n_symbols, n_bars + 1), dtype=np.int64)
    np.cumsum(missing, axis=1, out=total[:, 1:])
    complete = np.zeros((n_symbols, n_bars), dtype=np.bool_)
    complete[:, length - 1 :] = total[:, length:] == total[:, : n_bars - length + 1]
    return complete.T
