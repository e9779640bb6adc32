"""Window-local arithmetic: every value depends on its own window, bit for bit.

Nothing here keeps a running sum. A window is put together from blocks of 1, 2, 4, ...
bars, a block of 2k bars being the merge of two blocks of k, so that the same window
gives the same bits wherever the history starts, ends or is cut into chunks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

SHORT_WINDOW = 10


def required(width: int) -> int:
    """Say how many valid values a window needs: all up to 10, two thirds above."""
    return width if width <= SHORT_WINDOW else -(-2 * width // 3)


def lag(values: Array, bars: int) -> Array:
    """Shift to the values ``bars`` earlier, NaN before the first; shape (..., T)."""
    return _delayed(values, bars, np.nan)


def _delayed(values: Array, bars: int, fill: float) -> Array:
    shifted = np.full_like(values, fill)
    if bars < values.shape[-1]:
        shifted[..., bars:] = values[..., : values.shape[-1] - bars]
    return shifted


@dataclass(frozen=True)
class Moments:
    """Count, means and centred products of d series over a block of bars.

    Attributes
    ----------
    n : ndarray, shape (S, T)
        Bars of the block ending at t where all d series are valid.
    mean : ndarray, shape (d, S, T)
        Zero where n is 0.
    product : ndarray, shape (d, d, S, T)
        Sum over the block of (x_i - mean_i)(x_j - mean_j).
    """

    n: Array
    mean: Array
    product: Array

    def delayed(self, bars: int) -> Moments:
        """Shift to the block ending ``bars`` earlier; empty before the first bar."""
        return Moments(
            _delayed(self.n, bars, 0.0),
            _delayed(self.mean, bars, 0.0),
            _delayed(self.product, bars, 0.0),
        )

    def enough(self, width: int) -> npt.NDArray[np.bool_]:
        """Where the block holds the valid values that ``width`` bars need."""
        return self.n >= required(width)


def merge(old: Moments, new: Moments) -> Moments:
    """Join the moments of two adjacent blocks (Chan, Golub and LeVeque, 1979).

    Nothing is subtracted from a sum of squares, so that a flat window has variance 0
    exactly, and an empty block leaves the other one unchanged.
    """
    n = old.n + new.n
    share = new.n / np.maximum(n, 1.0)
    delta = new.mean - old.mean
    weighted = delta * (old.n * share)
    return Moments(
        n,
        old.mean + delta * share,
        old.product + new.product + delta[:, None] * weighted[None],
    )


class Pyramid:
    """Moments over windows of any width, from blocks that the widths share.

    Parameters
    ----------
    *series : ndarray of float64, shape (S, T)
        A bar counts where all of them are finite.
    on_time : bool
        Adds the number of the bar (0 at the newest, -1 before it, ...) as first series.
    """

    def __init__(self, *series: Array, on_time: bool = False) -> None:
        self.on_time = on_time
        stacked = np.stack(series)
        valid = np.isfinite(stacked).all(axis=0)
        stacked = np.where(valid, stacked, 0.0)
        if on_time:
            stacked = np.concatenate([np.zeros_like(stacked[:1]), stacked])
        depth = len(stacked)
        products = np.zeros((depth, *stacked.shape))
        self._blocks = {1: Moments(valid.astype(float), stacked, products)}
        self._windows: dict[int, Moments] = {}

    def window(self, width: int) -> Moments:
        """Compute the moments over the bars t-width+1 ... t."""
        if width not in self._windows:
            self._windows[width] = self._assembled(width)
        return self._windows[width]

    def _assembled(self, width: int) -> Moments:
        sizes = [1 << bit for bit in range(width.bit_length()) if width >> bit & 1]
        window, covered = self._block(sizes[0]), sizes[0]
        for size in sizes[1:]:
            window = merge(self._earlier(self._block(size), covered), window)
            covered += size
        return window

    def _block(self, size: int) -> Moments:
        if size not in self._blocks:
            half = self._block(size // 2)
            self._blocks[size] = merge(self._earlier(half, size // 2), half)
        return self._blocks[size]

    def _earlier(self, block: Moments, bars: int) -> Moments:
        delayed = block.delayed(bars)
        if self.on_time:
            delayed.mean[0] -= np.where(delayed.n > 0, float(bars), 0.0)
        return delayed


def mean(pyramid: Pyramid, width: int) -> Array:
    """Compute the mean of the first series, NaN where too few are valid."""
    moments = pyramid.window(width)
    return np.where(moments.enough(width), moments.mean[0], np.nan)


def standard_deviation(pyramid: Pyramid, width: int) -> Array:
    """Compute the standard deviation (ddof 1) of the first series."""
    moments = pyramid.window(width)
    variance = moments.product[0, 0] / np.maximum(moments.n - 1.0, 1.0)
    return np.where(moments.enough(width), np.sqrt(variance), np.nan)


def correlation(pyramid: Pyramid, width: int) -> Array:
    """Pearson correlation of the two series; NaN where one of them is flat."""
    moments = pyramid.window(width)
    product = moments.product
    spread = np.sqrt(product[0, 0]) * np.sqrt(product[1, 1])
    known = moments.enough(width) & (spread > 0)
    ratio = product[0, 1] / np.where(known, spread, 1.0)
    return np.where(known, np.clip(ratio, -1.0, 1.0), np.nan)


def slope(pyramid: Pyramid, width: int) -> Array:
    """Least-squares slope of the second series on the first."""
    moments = pyramid.window(width)
    known = moments.enough(width) & (moments.product[0, 0] > 0)
    base = np.where(known, moments.product[0, 0], 1.0)
    return np.where(known, moments.product[0, 1] / base, np.nan)


def standardised_moment(
    values: Array, pyramid: Pyramid, width: int, order: int
) -> Array:
    """Average the standardised values to the power ``order`` (population moments).

    Two passes: the mean comes from the blocks, the powers are summed around it.
    """
    moments = pyramid.window(width)
    centre, valid = moments.mean[0], np.isfinite(values)
    filled = np.where(valid, values, 0.0)
    total = np.zeros_like(filled)
    for age in range(min(width, values.shape[-1])):
        stop = values.shape[-1] - age
        gap = np.where(valid[:, :stop], filled[:, :stop] - centre[:, age:], 0.0)
        power = gap * gap * gap
        total[:, age:] += power if order == 3 else power * gap
    count = np.maximum(moments.n, 1.0)
    spread = np.sqrt(moments.product[0, 0] / count)
    scale = spread * spread * spread * (spread if order == 4 else 1.0)
    known = moments.enough(width) & (scale > 0)
    return np.where(known, total / count / np.where(known, scale, 1.0), np.nan)


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
