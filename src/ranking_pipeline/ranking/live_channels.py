"""Live channels: those of the newest bars alone, to the bits of the whole panel's."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import as_strided

from ranking_pipeline.learning.channels import (
    CHANNELS,
    CLOSE,
    LARGEST_VALUE,
    PRICES,
    VOLATILITY_LOOKBACK,
    VOLATILITY_MIN_BARS,
    VOLUME,
    VOLUME_LOOKBACK,
    VOLUME_MIN_BARS,
    ChannelScale,
    build_channels,
)

FloatArray = npt.NDArray[np.float64]
FieldMajor = npt.NDArray[np.float32]


def live_channels(
    bars: FieldMajor, normalization: str, length: int, scale: ChannelScale | None
) -> npt.NDArray[np.float32]:
    """Channels of the last ``length`` bars, scaled.

    Parameters
    ----------
    bars : ndarray of float32, shape (5, R, S)
        Open, high, low, close, volume of the last R bars of S symbols, the newest bar
        last; R is at least ``length`` plus the history that the normalisation needs.
    normalization : str
        See :func:`ranking_pipeline.learning.channels.build_channels`, whose values
        these are, bit for bit: it works on whole panels, symbol by symbol, and would
        compute the history's own channels too.
    length : int
    scale : ChannelScale or None
        Of the ranker.

    Returns
    -------
    ndarray of float32, shape (5, length, S)
    """
    if bars.size == 0:
        channels = np.empty((len(CHANNELS), length, 0), dtype=np.float32)
    elif normalization == "log_returns":
        channels = _log_returns(bars, length)
    else:
        newest = np.ascontiguousarray(bars[:, -length:].transpose(2, 1, 0))
        channels = build_channels(newest, normalization).transpose(2, 1, 0)
    return channels if scale is None else _scaled(channels, scale)


def _log_returns(bars: FieldMajor, length: int) -> npt.NDArray[np.float32]:
    n_close, n_volume = length + VOLATILITY_LOOKBACK, length + VOLUME_LOOKBACK
    channels = np.empty((len(CHANNELS), length, bars.shape[2]), dtype=np.float32)
    with np.errstate(invalid="ignore", divide="ignore"):
        close = _log_price(bars[CLOSE, -n_close:])  # (60 + L, S)
        volume = np.log1p(bars[VOLUME, -n_volume:].astype(np.float64))  # (20 + L, S)
        squares = np.square(close[1:] - close[:-1])
        volatility = np.sqrt(
            _trailing_mean(squares, VOLATILITY_LOOKBACK, VOLATILITY_MIN_BARS)
        )
        volatility[~(volatility > 0)] = np.nan
        before = close[-length - 1 : -1]
        for field in range(PRICES.stop):
            price = close[-length:]
            if field != CLOSE:
                price = _log_price(bars[field, -length:])
            channels[field] = (price - before) / volatility
    usual = _trailing_mean(volume[:-1], VOLUME_LOOKBACK, VOLUME_MIN_BARS)
    channels[VOLUME] = volume[-length:] - usual
    return np.clip(channels, -LARGEST_VALUE, LARGEST_VALUE, out=channels)


def _log_price(price: npt.NDArray[np.float32]) -> FloatArray:
    exact = price.astype(np.float64)
    if not exact.min() > 0:  # NaN comes here too
        exact[~(exact > 0)] = np.nan
    return np.log(exact, out=exact)


def _trailing_mean(values: FloatArray, window: int, min_bars: int) -> FloatArray:
    """Mean of the known values among ``window`` bars in a row, (R - window + 1, S).

    Adds the bars from the oldest to the newest, as the channels of a panel do.
    """
    length = len(values) - window + 1
    known = np.isfinite(values)
    complete = bool(known.all())
    filled = values if complete else np.where(known, values, 0.0)
    total = _sums_in_order(np.ascontiguousarray(filled), window, length)
    if complete:
        return np.divide(total, window, out=total)
    sums = np.zeros((len(values) + 1, values.shape[1]), dtype=np.int32)
    np.cumsum(known, axis=0, dtype=np.int32, out=sums[1:])
    count = sums[window:] - sums[:-window]
    return np.where(count >= min_bars, total / np.maximum(count, 1), np.nan)


def _sums_in_order(values: FloatArray, window: int, length: int) -> FloatArray:
    """Sum ``window`` rows from each of ``length`` rows on, in their order, (length, S).

    numpy adds along the first axis row by row. With a single column that axis is all
    there is, and numpy would add in pairs: two columns are summed and one is kept.
    """
    columns = values.shape[1]
    if columns == 1:
        return _sums_in_order(np.repeat(values, 2, axis=1), window, length)[:, :1]
    row, item = values.strides
    view = as_strided(values, (window, length, columns), (row, row, item))
    return np.asarray(np.add.reduce(view, axis=0))


def _scaled(
    channels: npt.NDArray[np.float32], scale: ChannelScale
) -> npt.NDArray[np.float32]:
    scaled = np.empty(channels.shape, dtype=np.float32)
    for place, (mean, deviation) in enumerate(
        zip(scale.mean, scale.deviation, strict=True)
    ):
        centred = np.subtract(channels[place], mean, dtype=np.float64)
        np.divide(centred, deviation, out=scaled[place], casting="same_kind")
    return scaled
