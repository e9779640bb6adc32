"""Window tables: what a normalisation takes from each window, found once per panel."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ranking_pipeline.learning.channels import CLOSE, VOLUME

Combine = Callable[[Tensor, Tensor], Tensor]

# A channel that varies by less than this share of its size is constant: float32 prices
# carry seven digits, and the rest is rounding.
SMALLEST_VARIATION = 1e-6
# Values whose float64 copies are alive together: within a processor's cache, and large
# enough that a GPU is not held up by launches.
_VALUES_ON_CPU, _VALUES_ON_GPU = 1 << 17, 1 << 24


@dataclass(frozen=True)
class WindowTables:
    """A shift and a divisor per window: normalised = (window - shift) / divisor.

    Attributes
    ----------
    shift : Tensor of float32, shape (S * T, K)
        Row symbol * T + bar belongs to the window that STARTS at this bar; rows whose
        window would leave the panel are never read. K = 2 where the prices share a
        number: two fifths of the panel, not all of it.
    divisor : Tensor of float32, shape (S * T, K), or None
        Infinite for a constant channel, which then becomes zero. May be ``shift``.
    columns : Tensor of int64, shape (n * C,)
        Which of the K numbers belongs to each channel, n times over: what n bars of a
        window are shifted by at once.
    """

    shift: Tensor
    divisor: Tensor | None
    columns: Tensor

    def apply_(self, windows: Tensor, first: Tensor) -> Tensor:
        """Normalise gathered windows (N, L, C) in place; they start at rows ``first``."""
        wide = windows.view(len(windows), -1, len(self.columns))  # (N, L / n, n * C)
        shift = self._rows(self.shift, first)
        wide.sub_(shift)
        if self.divisor is self.shift:
            wide.div_(shift)
        elif self.divisor is not None:
            wide.div_(self._rows(self.divisor, first))
        return windows

    def _rows(self, table: Tensor, first: Tensor) -> Tensor:
        """Numbers (N, 1, n * C) of the windows that start at rows ``first``."""
        rows = table.index_select(0, first).index_select(1, self.columns)
        return rows.unsqueeze(1)


@dataclass(frozen=True)
class WindowTransform:
    """A normalisation that depends on the window.

    Attributes
    ----------
    name : str
        ``log_anchored``, ``returns``, ``zscore`` or ``minmax``.
    """

    name: str

    @property
    def n_tables(self) -> int:
        """Tables of at most the panel's size that it keeps."""
        return 1 if self._shares_prices else 2

    @property
    def _shares_prices(self) -> bool:
        """Whether one number serves the four prices."""
        return self.name in {"log_anchored", "returns"}

    def tables(self, values: Tensor, length: int) -> WindowTables:
        """Find the tables of all windows of a panel (S, T, C).

        A row depends on the bars of its own window alone, to the last bit: sums run
        over the window in one fixed order, in float64, and are then stored as float32.
        """
        n_symbols, n_bars, n_channels = values.shape
        kept = [0] * (CLOSE + 1) + [1] if self._shares_prices else range(n_channels)
        shape = (n_symbols, n_bars, max(kept) + 1)
        stored = [values.new_full(shape, torch.nan) for _ in range(self.n_tables)]
        room = _VALUES_ON_CPU if values.device.type == "cpu" else _VALUES_ON_GPU
        block = max(1, room // max(1, n_bars * n_channels))
        starts = n_bars - length + 1
        for first in range(0, n_symbols if starts > 0 else 0, block):
            part = slice(first, first + block)
            found = _STATISTICS[self.name](values[part], length)
            for table, statistic in zip(stored, found, strict=True):
                table[part, :starts] = statistic
        flat = [table.view(n_symbols * n_bars, shape[2]) for table in stored]
        divisor = flat[0] if self.name == "returns" else None
        # A CPU is slow at inner loops of C steps: let them run over several bars.
        bars = math.gcd(length, 8) if values.device.type == "cpu" else 1
        columns = torch.tensor([*kept] * bars, device=values.device)
        return WindowTables(flat[0], flat[1] if len(flat) > 1 else divisor, columns)

    def __call__(self, windows: Tensor) -> Tensor:
        """Normalise windows (N, L, C) that are at hand; the same bits as by tables."""
        length = windows.shape[1]
        first = torch.arange(0, len(windows) * length, length, device=windows.device)
        return self.tables(windows, length).apply_(windows.clone(), first)


def window_transform(normalization: str) -> WindowTransform | None:
    """Find what a normalisation still does to a gathered window; None for nothing.

    ``log_anchored``
        Log prices minus the log of the window's last close; log(1 + volume) minus its
        mean over the window.
    ``returns``
        Prices over the window's first close, volume over its first volume, minus one.
    ``zscore``
        Each channel minus its mean over the window, over its deviation there (ddof 0),
        both stored as float32: right to 6e-8 of the channel's size over its deviation.
        A channel whose deviation is not above 1e-6 of its root mean square is zero.
    ``minmax``
        Each channel minus its lowest value in the window, over the distance from there
        to its highest: 0 ... 1. A constant channel is zero.
    """
    return WindowTransform(normalization) if normalization in _STATISTICS else None


def _anchored(values: Tensor, length: int) -> list[Tensor]:
    close = values[:, length - 1 :, CLOSE, None]  # (s, starts, 1): the last bar's
    volume = values[:, :, VOLUME, None].double()
    mean = (over_windows(volume, length, torch.add) / length).float()
    return [torch.cat([close, mean], dim=2)]


def _first_bar(values: Tensor, length: int) -> list[Tensor]:
    first = values[:, : values.shape[1] - length + 1]
    return [first[:, :, CLOSE:]]


def _moments(values: Tensor, length: int) -> list[Tensor]:
    exact = values.double()
    mean = over_windows(exact, length, torch.add) / length
    # A float32 squared is exact in float64, so the difference keeps its digits.
    square = over_windows(exact.square(), length, torch.add) / length
    variance = square - mean.square()
    steady = variance <= SMALLEST_VARIATION**2 * square
    deviation = variance.sqrt().masked_fill_(steady, torch.inf)
    return [mean.float(), deviation.float()]


def _extremes(values: Tensor, length: int) -> list[Tensor]:
    lowest = over_windows(values, length, torch.minimum)
    width = over_windows(values, length, torch.maximum) - lowest
    return [lowest, width.masked_fill_(width == 0, torch.inf)]


_STATISTICS: dict[str, Callable[[Tensor, int], list[Tensor]]] = {
    "log_anchored": _anchored,
    "returns": _first_bar,
    "zscore": _moments,
    "minmax": _extremes,
}


def over_windows(values: Tensor, length: int, combine: Combine) -> Tensor:
    """Combine the bars of every window, in log2(L) passes of one fixed order.

    Runs of 2, 4, 8, ... bars are combined from two runs of half the length; a window is
    put together from the runs that the binary digits of its length name. Unlike a
    running total, a value holds its own bars and nothing else.

    Parameters
    ----------
    values : Tensor, shape (S, T, C)
    length : int
        L, at most T.
    combine : callable
        Elementwise and associative up to rounding, as ``torch.add``.

    Returns
    -------
    Tensor, shape (S, T - L + 1, C)
        Place t holds bars t ... t + L - 1.
    """
    starts, place, width = values.shape[1] - length + 1, 0, 1
    run, total = values, None  # run: place t holds bars t ... t + width - 1
    while width <= length:
        if length & width:
            piece = run[:, place : place + starts]
            total = piece if total is None else combine(total, piece)
            place += width
        if 2 * width <= length:
            run = combine(run[:, :-width], run[:, width:])
        width *= 2
    assert total is not None
    return total
