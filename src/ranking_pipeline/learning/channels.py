"""Channels: what a sequence network sees of a bar, computed once per panel."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ranking_pipeline.errors import UserError

FloatArray = npt.NDArray[np.float64]
ChannelArray = npt.NDArray[np.float32]

PRICES = slice(0, 4)
CLOSE, VOLUME = 3, 4
CHANNELS = ("open", "high", "low", "close", "volume")
NORMALIZATIONS = (
    "log_returns",
    "log_anchored",
    "returns",
    "zscore",
    "minmax",
    "none",
)

# A quarter of trading: long enough to be steady, short enough to follow regimes.
VOLATILITY_LOOKBACK = 60
VOLATILITY_MIN_BARS = 20
VOLUME_LOOKBACK = 20
VOLUME_MIN_BARS = 10
# One wrong print must not rule a window.
LARGEST_VALUE = 8.0
# Numbers of a few symbols that are worked on together: they stay in the cache.
_VALUES_AT_ONCE = 1 << 16
_WINDOWS_TO_SCALE_BY = 4096


@dataclass(frozen=True)
class ChannelScale:
    """Constants per channel, fitted on the training bars alone.

    Attributes
    ----------
    mean, deviation : tuple of float, length C
        A channel is stored as (value - mean) / deviation.
    """

    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    @classmethod
    def fit(cls, channels: ChannelArray, bars: npt.NDArray[np.bool_]) -> ChannelScale:
        """Fit to channels (S, T, C) at the bars where ``bars`` (T,) is set."""
        seen = channels[:, bars].reshape(-1, channels.shape[2])
        seen = seen[np.isfinite(seen).all(axis=1)].astype(np.float64)
        if len(seen) == 0:
            raise UserError("no training bar has a complete set of channels.")
        deviation = seen.std(axis=0)
        steady = np.where(deviation > 0, deviation, 1.0)
        return cls(tuple(seen.mean(axis=0).tolist()), tuple(steady.tolist()))

    @classmethod
    def from_dict(cls, stored: Mapping[str, Sequence[float]]) -> ChannelScale:
        """Rebuild from what :func:`dataclasses.asdict` made of it."""
        return cls(tuple(stored["mean"]), tuple(stored["deviation"]))

    def apply(
        self, channels: npt.NDArray[np.floating], out: ChannelArray | None = None
    ) -> ChannelArray:
        """Scale channels (S, T, C), into ``out`` where it is given; NaN stays NaN."""
        mean, deviation = np.array(self.mean), np.array(self.deviation)
        scaled = np.empty(channels.shape, dtype=np.float32) if out is None else out
        for part in _few_symbols(channels):
            np.divide(
                channels[part] - mean, deviation, out=scaled[part], casting="same_kind"
            )
        return scaled


def needs_scale(normalization: str) -> bool:
    """Whether the channels still need the constants of :class:`ChannelScale`."""
    return normalization in {"log_returns", "log_anchored", "none"}


def fit_scale(
    channels: ChannelArray,
    bars: npt.NDArray[np.bool_],
    normalization: str,
    length: int,
) -> ChannelScale | None:
    """Fit what the channels of a normalisation are scaled by, if anything.

    Parameters
    ----------
    channels : ndarray, shape (S, T, C)
        See :func:`build_channels`.
    bars : ndarray of bool, shape (T,)
        Training bars.
    normalization : str
    length : int
        Bars L of a window.

    Returns
    -------
    ChannelScale or None
        For ``log_anchored`` the mean is zero and the deviation the root mean square of
        the windows' own values, on windows spread evenly over the training cells: one
        for all prices, because the close that is taken off them is scaled by it too,
        and one for the volume.
    """
    if not needs_scale(normalization):
        return None
    if normalization != "log_anchored":
        return ChannelScale.fit(channels, bars)
    windows = _sample_windows(channels, bars, length)
    windows[:, :, PRICES] -= windows[:, -1:, CLOSE, None].copy()
    windows[:, :, VOLUME] -= windows[:, :, VOLUME].mean(axis=1, keepdims=True)
    square = np.square(windows).mean(axis=(0, 1))
    # The last close is taken off all prices, so that they need one and the same unit.
    square[PRICES] = square[PRICES].mean()
    steady = np.where(square > 0, np.sqrt(square), 1.0)
    return ChannelScale((0.0,) * channels.shape[2], tuple(steady.tolist()))


def _sample_windows(
    channels: ChannelArray, bars: npt.NDArray[np.bool_], length: int
) -> FloatArray:
    """Complete windows (N, L, C) inside the training bars, evenly spread."""
    known = np.isfinite(channels).all(axis=2) & bars  # (S, T)
    if known.shape[1] < length:
        raise UserError("no training bar has a complete set of channels.")
    whole = np.lib.stride_tricks.sliding_window_view(known, length, axis=1).all(axis=2)
    symbols, starts = np.nonzero(whole)
    if len(symbols) == 0:
        raise UserError("no training bar has a complete set of channels.")
    chosen = np.unique(
        np.linspace(0, len(symbols) - 1, _WINDOWS_TO_SCALE_BY).astype(np.intp)
    )
    span = starts[chosen, None] + np.arange(length)
    sampled: FloatArray = channels[symbols[chosen, None], span].astype(np.float64)
    return sampled


def channel_lookback(normalization: str) -> int:
    """Bars before a window that its first bar's channels depend on."""
    longest = max(VOLATILITY_LOOKBACK, VOLUME_LOOKBACK)
    return longest if normalization == "log_returns" else 0


def build_channels(ohlcv: npt.NDArray[np.floating], normalization: str) -> ChannelArray:
    """Turn raw bars into the channels of a normalisation.

    What depends on the window is left to ``window_transform`` in ``window_tables.py``.

    Parameters
    ----------
    ohlcv : ndarray, shape (S, T, 5)
        Open, high, low, close, volume; NaN where a symbol has no bar.
    normalization : str
        ``log_returns``
            The project's own volatility-scaled form. Logarithms of open, high, low and
            close over the close of the bar before, in units of the symbol's own
            volatility (root mean square of its last 60 close-to-close returns), and the
            logarithm of 1 + volume minus its mean over the 20 bars before. Both
            histories use the bars that exist, at least 20 and 10 of them; values are
            limited to -8 ... 8.
        ``log_anchored``
            Logarithms of prices and of 1 + volume; the window's last close and mean
            volume are taken off inside the window.
        ``returns``, ``zscore``, ``minmax``
            The raw bars, normalised inside each window. A bar without volume is missing
            under ``returns``: nothing can be divided by it.
        ``none``
            The raw bars.

    Returns
    -------
    ndarray of float32, shape (S, T, 5)
        NaN where the bar, the bar before or the history is missing. A value depends on
        its bar and that history alone, to the last bit.

    Raises
    ------
    UserError
        When the normalisation is unknown.
    """
    if normalization not in NORMALIZATIONS:
        raise UserError(
            f"normalization is {normalization!r}; "
            f"use one of {', '.join(NORMALIZATIONS)}."
        )
    if normalization in {"log_returns", "log_anchored"}:
        scaled = normalization == "log_returns"
        channels = np.empty(ohlcv.shape, dtype=np.float32)
        for part in _few_symbols(ohlcv):
            price, volume = _logarithms(ohlcv[part])
            if scaled:
                price, volume = _in_volatilities(price), _beside_usual(volume)
            channels[part, :, PRICES] = np.moveaxis(price, 0, 2)
            channels[part, :, VOLUME] = volume
        if scaled:
            np.clip(channels, -LARGEST_VALUE, LARGEST_VALUE, out=channels)
        return channels
    raw = np.array(ohlcv, dtype=np.float32)
    if normalization == "returns":
        # A ratio to a volume of zero has no value.
        raw[raw[:, :, VOLUME] <= 0] = np.nan
    return raw


def _few_symbols(values: npt.NDArray[np.floating]) -> Iterator[slice]:
    """Cut the symbols of (S, T, C) into blocks that fit the cache."""
    block = max(1, _VALUES_AT_ONCE // max(1, values[0].size if len(values) else 1))
    for first in range(0, len(values), block):
        yield slice(first, first + block)


def _logarithms(ohlcv: npt.NDArray[np.floating]) -> tuple[FloatArray, FloatArray]:
    """Log prices (4, s, T) and log(1 + volume) (s, T); NaN where there is none."""
    fields = np.ascontiguousarray(np.moveaxis(ohlcv, 2, 0), dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        prices = fields[PRICES]
        price = np.log(np.where(prices > 0, prices, np.nan))
        return price, np.log1p(fields[VOLUME])


def _in_volatilities(log_price: FloatArray) -> FloatArray:
    """Log returns (4, s, T) over the last close, in units of the volatility."""
    returns = np.full_like(log_price, np.nan)
    returns[:, :, 1:] = log_price[:, :, 1:] - log_price[CLOSE, :, :-1]
    squares = returns[CLOSE] ** 2
    volatility = np.sqrt(
        _trailing_mean(squares, VOLATILITY_LOOKBACK, VOLATILITY_MIN_BARS)
    )
    return np.asarray(returns / np.where(volatility > 0, volatility, np.nan))


def _beside_usual(log_volume: FloatArray) -> FloatArray:
    """Log volume (s, T) minus its mean over the bars before."""
    usual = np.full_like(log_volume, np.nan)
    usual[:, 1:] = _trailing_mean(log_volume, VOLUME_LOOKBACK, VOLUME_MIN_BARS)[:, :-1]
    return log_volume - usual


def _trailing_mean(values: FloatArray, window: int, min_bars: int) -> FloatArray:
    """Mean of the known values among the last ``window`` bars, shape (s, T).

    Sums the window's own bars from the oldest to the newest, never a running total: a
    value depends on its window and on nothing else, to the last bit. Counts are
    integers, so for them a running total is exact.
    """
    n_symbols, n_bars = values.shape
    known = np.isfinite(values)
    # Zeros before each symbol make all windows equally long, and one flat array of all
    # symbols makes each age a single addition. What straddles two symbols is cut off.
    padded = np.zeros((n_symbols, n_bars + window - 1))
    np.copyto(padded[:, window - 1 :], values, where=known)
    flat = padded.ravel()
    sums = np.zeros(padded.shape)
    n_sums = max(0, len(flat) - window + 1)
    total = sums.ravel()[:n_sums]  # a view
    for place in range(window):
        total += flat[place : place + n_sums]
    count = np.zeros((n_symbols, n_bars + window), dtype=np.int32)
    np.cumsum(known, axis=1, dtype=np.int32, out=count[:, window:])
    count = count[:, window:] - count[:, :-window]
    means = sums[:, :n_bars] / np.maximum(count, 1)
    return np.where(count >= min_bars, means, np.nan)
