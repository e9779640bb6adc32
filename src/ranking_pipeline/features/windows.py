"""Window-local arithmetic: every value depends on its own window, bit for bit.

Nothing here keeps a running sum. A window is put together from blocks of 1, 2, 4, ...
bars, a block of 2k bars being the merge of two blocks of k, so that the same window
gives the same bits wherever the history starts, ends or is cut into chunks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Block = TypeVar("Block")

SHORT_WINDOW = 10


def required(width: int) -> int:
    """Say how many valid values a window needs: all up to 10, two thirds above."""
    return width if width <= SHORT_WINDOW else -(-2 * width // 3)


def lag(values: Array, bars: int) -> Array:
    """Shift to the values ``bars`` earlier, NaN before the first; shape (..., T)."""
    shifted = np.full_like(values, np.nan)
    if bars < values.shape[-1]:
        shifted[..., bars:] = values[..., : values.shape[-1] - bars]
    return shifted


class Doubling(Generic[Block]):
    """Windows of any width from blocks of 1, 2, 4, ... bars, which the widths share.

    Parameters
    ----------
    first : Block
        Blocks of one bar each.
    merge : callable
        ``merge(old, new, bars)`` joins the blocks ending ``bars`` earlier with the new
        ones; where there is no earlier bar it keeps the new one.
    """

    def __init__(
        self, first: Block, merge: Callable[[Block, Block, int], Block]
    ) -> None:
        self._merge = merge
        self._blocks = {1: first}
        self._windows: dict[int, Block] = {}

    def window(self, width: int) -> Block:
        """Join the bars t-width+1 ... t."""
        if width not in self._windows:
            self._windows[width] = self._assembled(width)
        return self._windows[width]

    def _assembled(self, width: int) -> Block:
        sizes = [1 << bit for bit in range(width.bit_length()) if width >> bit & 1]
        window, covered = self._block(sizes[0]), sizes[0]
        for size in sizes[1:]:
            window = self._merge(self._block(size), window, covered)
            covered += size
        return window

    def _block(self, size: int) -> Block:
        if size not in self._blocks:
            half = self._block(size // 2)
            self._blocks[size] = self._merge(half, half, size // 2)
        return self._blocks[size]


@dataclass(frozen=True)
class Sums:
    """Count and sum of the valid values of a block, each of shape (S, T)."""

    n: Array
    total: Array

    @property
    def mean(self) -> tuple[Array]:
        """Mean of the valid values; zero where there is none."""
        return (self.total / np.maximum(self.n, 1.0),)

    def enough(self, width: int) -> npt.NDArray[np.bool_]:
        """Where the block holds the valid values that ``width`` bars need."""
        return self.n >= required(width)


def _added(old: Array, new: Array, bars: int) -> Array:
    joined = new.copy()
    joined[..., bars:] += old[..., : max(old.shape[-1] - bars, 0)]
    return joined


def add_sums(old: Sums, new: Sums, bars: int) -> Sums:
    """Join two adjacent blocks."""
    return Sums(_added(old.n, new.n, bars), _added(old.total, new.total, bars))


class SumPyramid(Doubling[Sums]):
    """Counts and sums over windows of one series, shape (S, T); NaN does not count."""

    def __init__(self, values: Array) -> None:
        valid = np.isfinite(values)
        super().__init__(
            Sums(valid.astype(float), np.where(valid, values, 0.0)), add_sums
        )


@dataclass(frozen=True)
class Moments:
    """Count, means and centred products of one or two series over a block of bars.

    Attributes
    ----------
    n : ndarray, shape (S, T)
        Bars of the block ending at t where all series are valid.
    mean : tuple of ndarray, each (S, T)
        Zero where n is 0.
    product : dict of ndarray, each (S, T)
        ``product[i, j]`` with i <= j: sum of (x_i - mean_i)(x_j - mean_j).
    """

    n: Array
    mean: tuple[Array, ...]
    product: dict[tuple[int, int], Array]

    def enough(self, width: int) -> npt.NDArray[np.bool_]:
        """Where the block holds the valid values that ``width`` bars need."""
        return self.n >= required(width)


def merge_moments(
    old: Moments, new: Moments, bars: int, *, on_time: bool = False
) -> Moments:
    """Join the moments of two adjacent blocks (Chan, Golub and LeVeque, 1979).

    Nothing is subtracted from a sum of squares, so that a flat window has variance 0
    exactly, and an empty block leaves the other one unchanged.
    """
    stop = new.n.shape[-1] - bars
    if stop <= 0:
        return new
    n = _added(old.n, new.n, bars)
    share = new.n[..., bars:] / np.maximum(n[..., bars:], 1.0)
    weight = old.n[..., :stop] * share
    means, deltas = [], []
    for i, (earlier, later) in enumerate(zip(old.mean, new.mean, strict=True)):
        before = earlier[..., :stop]
        if on_time and i == 0:  # the same bars are older, seen from the new block
            before = before - np.where(old.n[..., :stop] > 0, float(bars), 0.0)
        delta = later[..., bars:] - before
        mean = later.copy()
        np.add(before, delta * share, out=mean[..., bars:])
        means.append(mean)
        deltas.append(delta)
    product = {}
    for (i, j), later in new.product.items():
        joined = _added(old.product[i, j], later, bars)
        joined[..., bars:] += deltas[i] * (deltas[j] * weight)
        product[i, j] = joined
    return Moments(n, tuple(means), product)


class Pyramid(Doubling[Moments]):
    """Moments over windows of one series, of two, or of one against time.

    Parameters
    ----------
    *series : ndarray of float64, shape (S, T)
        A bar counts where all of them are finite.
    on_time : bool
        Adds the number of the bar (0 at the newest, -1 before it, ...) as first series.
    """

    def __init__(self, *series: Array, on_time: bool = False) -> None:
        valid = np.isfinite(series[0])
        for other in series[1:]:
            valid &= np.isfinite(other)
        mean = tuple(np.where(valid, values, 0.0) for values in series)
        if on_time:
            mean = (np.zeros_like(series[0]), *mean)
        pairs = [(i, j) for i in range(len(mean)) for j in range(i, len(mean))]
        nothing = np.zeros_like(series[0])
        first = Moments(valid.astype(float), mean, dict.fromkeys(pairs, nothing))

        def merge(old: Moments, new: Moments, bars: int) -> Moments:
            return merge_moments(old, new, bars, on_time=on_time)

        super().__init__(first, merge)


def total(windows: SumPyramid, width: int) -> Array:
    """Sum of the valid values, NaN where too few are."""
    sums = windows.window(width)
    return np.where(sums.enough(width), sums.total, np.nan)


def mean(windows: SumPyramid | Pyramid, width: int) -> Array:
    """Mean of the (first) series, NaN where too few values are valid."""
    block = windows.window(width)
    return np.where(block.enough(width), block.mean[0], np.nan)


def standard_deviation(windows: Pyramid, width: int, series: int = 0) -> Array:
    """Standard deviation (ddof 1) of one of the series."""
    moments = windows.window(width)
    variance = moments.product[series, series] / np.maximum(moments.n - 1.0, 1.0)
    return np.where(moments.enough(width), np.sqrt(variance), np.nan)


def correlation(windows: Pyramid, width: int) -> Array:
    """Pearson correlation of the two series; NaN where one of them is flat."""
    moments = windows.window(width)
    product = moments.product
    spread = np.sqrt(product[0, 0]) * np.sqrt(product[1, 1])
    known = moments.enough(width) & (spread > 0)
    ratio = product[0, 1] / np.where(known, spread, 1.0)
    return np.where(known, np.clip(ratio, -1.0, 1.0), np.nan)


def slope(windows: Pyramid, width: int) -> Array:
    """Least-squares slope of the second series on the first."""
    moments = windows.window(width)
    known = moments.enough(width) & (moments.product[0, 0] > 0)
    base = np.where(known, moments.product[0, 0], 1.0)
    return np.where(known, moments.product[0, 1] / base, np.nan)


def fitted(windows: Pyramid, width: int) -> Array:
    """Value at t of the line that is fitted to the second series on the first."""
    moments = windows.window(width)
    return moments.mean[1] - slope(windows, width) * moments.mean[0]


def standardised_moment(
    values: Array, windows: Pyramid, width: int, order: int
) -> Array:
    """Average the standardised values to the power ``order`` (population moments).

    Two passes: the mean comes from the blocks, the powers are summed around it.
    """
    moments = windows.window(width)
    centre, valid = moments.mean[0], np.isfinite(values)
    filled = np.where(valid, values, 0.0)
    powers = np.zeros_like(filled)
    for age in range(min(width, values.shape[-1])):
        stop = values.shape[-1] - age
        gap = np.where(valid[:, :stop], filled[:, :stop] - centre[:, age:], 0.0)
        power = gap * gap * gap
        powers[:, age:] += power if order == 3 else power * gap
    count = np.maximum(moments.n, 1.0)
    spread = np.sqrt(moments.product[0, 0] / count)
    scale = spread * spread * spread * (spread if order == 4 else 1.0)
    known = moments.enough(width) & (scale > 0)
    return np.where(known, powers / count / np.where(known, scale, 1.0), np.nan)


def extreme(values: Array, width: int, kind: str) -> Array:
    """Select exactly from the bars t-width+1 ... t.

    Parameters
    ----------
    values : ndarray of float64, shape (S, T)
    width : int
        Bars of the window.
    kind : {"max", "min", "argmax", "argmin", "rank"}
        ``argmax`` and ``argmin`` are ages in bars (0 = the newest; on ties the latest);
        ``rank`` is that of the newest value, from -1 (lowest) to 1.
    """
    import bottleneck

    if width > values.shape[-1]:
        return np.full_like(values, np.nan)
    move = getattr(bottleneck, f"move_{kind}")
    selected: Array = move(values, width, min_count=required(width), axis=-1)
    return selected


def quantiles(
    values: Array, count: Array, width: int, shares: tuple[float, ...]
) -> list[Array]:
    """Quantiles of the bars t-width+1 ... t, linear between neighbours.

    Parameters
    ----------
    values : ndarray of float64, shape (S, T)
        Exact in float32, as the fields of the panel are; sorted as such.
    count : ndarray, shape (S, T)
        Valid values of each window.
    shares : tuple of float
        Between 0 and 1.
    """
    front = np.full((len(values), width - 1), np.nan, dtype=np.float32)
    padded = np.concatenate([front, values.astype(np.float32)], axis=1)
    cut = np.lib.stride_tricks.sliding_window_view(padded, width, axis=1)
    ordered = np.sort(cut, axis=-1)  # NaN comes last
    last = np.maximum(count - 1.0, 0.0)
    known = count >= required(width)
    return [np.where(known, _at(ordered, share * last), np.nan) for share in shares]


def _at(ordered: npt.NDArray[np.float32], place: Array) -> Array:
    """Read between two neighbours of the last axis; ``place`` has shape (S, T)."""
    low = place.astype(np.intp)
    high = np.minimum(low + (place > low), ordered.shape[-1] - 1)
    below, above = (
        np.take_along_axis(ordered, at[..., None], -1)[..., 0].astype(np.float64)
        for at in (low, high)
    )
    value: Array = below + (above - below) * (place - low)
    return value
