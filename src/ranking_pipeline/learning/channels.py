"""Channels: what a sequence network sees of a bar, computed once per panel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ranking_pipeline.errors import UserError

FloatArray = npt.NDArray[np.float64]
ChannelArray = npt.NDArray[np.float32]

PRICES = slice(0, 4)
CLOSE, VOLUME = 3, 4
CHANNELS = ("open", "high", "low", "close", "volume")
NORMALIZATIONS = ("log_returns", "returns", "zscore", "none")

# A quarter of trading: long enough to be steady, short enough to follow regimes.
VOLATILITY_LOOKBACK = 60
VOLATILITY_MIN_BARS = 20
VOLUME_LOOKBACK = 20
VOLUME_MIN_BARS = 10
# One wrong print must not rule a window.
LARGEST_VALUE = 8.0


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

    def apply(self, channels: ChannelArray) -> ChannelArray:
        """Scale channels (S, T, C); NaN stays NaN."""
        scaled = (channels - np.array(self.mean)) / np.array(self.deviation)
        return np.asarray(scaled, dtype=np.float32)


def needs_scale(normalization: str) -> bool:
    """Whether the channels still need the constants of :class:`ChannelScale`."""
    return normalization in {"log_returns", "none"}


def channel_lookback(normalization: str) -> int:
    """Bars before a window that its first bar's channels depend on."""
    longest = max(VOLATILITY_LOOKBACK, VOLUME_LOOKBACK)
    return longest if normalization == "log_returns" else 0


def build_channels(ohlcv: npt.NDArray[np.floating], normalization: str) -> ChannelArray:
    """Turn raw bars into the channels of a normalisation.

    Parameters
    ----------
    ohlcv : ndarray, shape (S, T, 5)
        Open, high, low, close, volume; NaN where a symbol has no bar.
    normalization : str
        ``log_returns``: logarithms of open, high, low and close over the close of the
        bar before, in units of the symbol's own volatility (root mean square of its
        last 60 close-to-close returns), and the logarithm of volume minus its mean over
        the 20 bars before; both use the bars that exist, at least 20 and 10 of them.
        ``returns``, ``zscore`` and ``none``: the raw bars; the first two are then
        normalised inside each window (``window_transform`` in ``windows.py``).

    Returns
    -------
    ndarray of float32, shape (S, T, 5)
        NaN where the bar, the bar before or the history is missing.

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
    if normalization == "log_returns":
        return _scaled_log_returns(ohlcv.astype(np.float64))
    raw = np.array(ohlcv, dtype=np.float32)
    if normalization == "returns":
        # A ratio to a volume of zero has no value.
        raw[raw[:, :, VOLUME] <= 0] = np.nan
    return raw


def _scaled_log_returns(ohlcv: FloatArray) -> ChannelArray:
    with np.errstate(invalid="ignore", divide="ignore"):
        prices = ohlcv[:, :, PRICES]
        log_price = np.log(np.where(prices > 0, prices, np.nan))
        log_volume = np.log1p(ohlcv[:, :, VOLUME])
    returns = np.full_like(log_price, np.nan)
    returns[:, 1:] = log_price[:, 1:] - log_price[:, :-1, CLOSE, None]
    squares = returns[:, :, CLOSE] ** 2
    volatility = np.sqrt(
        _trailing_mean(squares, VOLATILITY_LOOKBACK, VOLATILITY_MIN_BARS)
    )
    known = np.where(volatility > 0, volatility, np.nan)
    channels = np.empty(ohlcv.shape, dtype=np.float32)
    channels[:, :, PRICES] = returns / known[:, :, None]
    usual = np.full_like(log_volume, np.nan)
    usual[:, 1:] = _trailing_mean(log_volume, VOLUME_LOOKBACK, VOLUME_MIN_BARS)[:, :-1]
    channels[:, :, VOLUME] = log_volume - usual
    return np.clip(channels, -LARGEST_VALUE, LARGEST_VALUE, out=channels)


def _trailing_mean(values: FloatArray, window: int, min_bars: int) -> FloatArray:
    """Mean of the known values among the last ``window`` bars, shape (S, T).

    Sums the window's own bars in a fixed order, never a running total: a value depends
    on its window and on nothing else, to the last bit.
    """
    known = np.isfinite(values)
    filled = np.where(known, values, 0.0)
    total, count = np.zeros_like(filled), np.zeros(filled.shape, dtype=np.int64)
    n_bars = values.shape[1]
    for age in range(min(window, n_bars) - 1, -1, -1):
        total[:, age:] += filled[:, : n_bars - age]
        count[:, age:] += known[:, : n_bars - age]
    return np.where(count >= min_bars, total / np.maximum(count, 1), np.nan)
