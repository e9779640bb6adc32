"""Channels by hand, and their independence from anything outside their window."""

from __future__ import annotations

import numpy as np
import pytest

from ranking_pipeline.errors import UserError
from ranking_pipeline.learning.channels import (
    LARGEST_VALUE,
    ChannelScale,
    build_channels,
    channel_lookback,
)


def bars(seed: int = 0, symbols: int = 3, n_bars: int = 120) -> np.ndarray:
    rng = np.random.default_rng([seed, 2])
    close = 50 * np.exp(np.cumsum(rng.normal(0, 0.02, (symbols, n_bars)), axis=1))
    open_ = close * np.exp(rng.normal(0, 0.005, close.shape))
    high = np.maximum(open_, close) * 1.01
    low = np.minimum(open_, close) * 0.99
    volume = np.exp(rng.normal(12, 0.4, close.shape))
    return np.stack([open_, high, low, close, volume], axis=2).astype(np.float32)


def test_log_returns_against_a_plain_loop() -> None:
    ohlcv = bars()
    ohlcv[1, 50] = np.nan
    got = build_channels(ohlcv, "log_returns")
    price = np.log(ohlcv[..., :4].astype(np.float64))
    volume = np.log1p(ohlcv[..., 4].astype(np.float64))
    close_return = np.full(ohlcv.shape[:2], np.nan)
    close_return[:, 1:] = np.diff(price[..., 3], axis=1)
    for symbol, bar in ((0, 20), (0, 61), (1, 49), (1, 52), (1, 80), (2, 119)):
        recent = close_return[symbol, max(0, bar - 59) : bar + 1]
        volatility = np.sqrt(np.nanmean(recent**2))
        usual = np.nanmean(volume[symbol, bar - 20 : bar])
        step = price[symbol, bar] - price[symbol, bar - 1, 3]
        np.testing.assert_allclose(got[symbol, bar, :4], step / volatility, rtol=1e-5)
        surprise = volume[symbol, bar] - usual
        np.testing.assert_allclose(got[symbol, bar, 4], surprise, rtol=1e-4, atol=1e-6)


def test_a_gap_is_neither_filled_nor_bridged() -> None:
    ohlcv = bars()
    ohlcv[1, 50] = np.nan
    got = build_channels(ohlcv, "log_returns")
    assert np.isnan(got[1, 50]).all()
    assert np.isnan(got[1, 51, :4]).all()  # its return would span the gap
    assert np.isfinite(got[1, 52]).all()
    assert np.isnan(got[:, :20, :4]).all()  # 20 returns are needed
    assert np.isfinite(got[[0, 2], 20:]).all()


@pytest.mark.parametrize("name", ["log_returns", "returns", "zscore", "none"])
def test_a_value_depends_on_its_window_alone_to_the_last_bit(name: str) -> None:
    ohlcv, reach = bars(1, n_bars=160), channel_lookback(name)
    whole = build_channels(ohlcv, name)
    for bar in (100, 159):
        part = build_channels(ohlcv[:, bar - reach : bar + 1], name)
        np.testing.assert_array_equal(part[:, -1], whole[:, bar])
    altered = ohlcv.copy()
    altered[:, 101:] *= 3
    np.testing.assert_array_equal(
        build_channels(altered, name)[:, :101], whole[:, :101]
    )


def test_one_wrong_print_is_limited() -> None:
    ohlcv = bars()
    ohlcv[0, 100, 1] *= 1000
    assert build_channels(ohlcv, "log_returns")[0, 100, 1] == LARGEST_VALUE


def test_a_flat_price_has_no_scale() -> None:
    ohlcv = bars()
    ohlcv[0, :, :4] = 10.0
    assert np.isnan(build_channels(ohlcv, "log_returns")[0, :, :4]).all()


def test_anchored_returns_need_a_volume() -> None:
    ohlcv = bars()
    ohlcv[0, 5, 4] = 0.0
    assert np.isnan(build_channels(ohlcv, "returns")[0, 5]).all()
    assert build_channels(ohlcv, "none")[0, 5, 4] == 0.0


def test_constants_come_from_the_given_bars_alone() -> None:
    channels = build_channels(bars(), "log_returns")
    train = np.arange(120) < 80
    scale = ChannelScale.fit(channels, train)
    scaled = scale.apply(channels)
    complete = scaled[:, train][np.isfinite(scaled[:, train]).all(axis=2)]
    np.testing.assert_allclose(complete.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(complete.std(axis=0), 1, atol=1e-5)
    later = channels.copy()
    later[:, ~train] *= 5
    assert ChannelScale.fit(later, train) == scale
    np.testing.assert_array_equal(np.isnan(scaled), np.isnan(channels))


def test_mistakes_are_named() -> None:
    with pytest.raises(UserError, match="log_returns"):
        build_channels(bars(), "logreturns")
    with pytest.raises(UserError, match="no training bar"):
        ChannelScale.fit(
            build_channels(bars(), "log_returns"), np.zeros(120, dtype=bool)
        )
