"""Channels by hand, and their independence from anything outside their window."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ranking_pipeline.errors import UserError
from ranking_pipeline.learning import channels
from ranking_pipeline.learning.channels import (
    LARGEST_VALUE,
    NORMALIZATIONS,
    ChannelScale,
    _trailing_mean,
    build_channels,
    channel_lookback,
    fit_scale,
    needs_scale,
)
from ranking_pipeline.learning.streaming import make_inputs


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


def summed_one_by_one(values: np.ndarray, window: int, least: int) -> np.ndarray:
    """Trailing mean from the oldest bar to the newest, one addition at a time."""
    means = np.full(values.shape, np.nan)
    for symbol, bar in np.ndindex(values.shape):
        total, count = 0.0, 0
        for value in values[symbol, max(0, bar - window + 1) : bar + 1]:
            if np.isfinite(value):
                total, count = total + value, count + 1
        if count >= least:
            means[symbol, bar] = total / count
    return means


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    shape=st.tuples(st.integers(0, 4), st.integers(1, 40)),
    window=st.integers(1, 25),
)
def test_a_trailing_mean_has_the_bits_of_a_plain_loop(
    seed: int, shape: tuple[int, int], window: int
) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=shape) * 10.0 ** rng.integers(-8, 8, shape)
    values[rng.random(shape) < 0.2] = np.nan
    expected = summed_one_by_one(values, window, 3)
    got = _trailing_mean(values, window, 3)
    assert got.tobytes() == expected.tobytes()


@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_symbols_do_not_touch_each_other(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ohlcv = bars(3, symbols=7)
    ohlcv[2, 30:50] = np.nan
    whole = build_channels(ohlcv, name)
    scale = ChannelScale((1.0, 2.0, 3.0, 4.0, 5.0), (0.5, 0.3, 2.0, 7.0, 1.0))
    scaled = ((whole - np.array(scale.mean)) / np.array(scale.deviation)).astype("f4")
    monkeypatch.setattr(channels, "_VALUES_AT_ONCE", 1)
    np.testing.assert_array_equal(build_channels(ohlcv, name), whole)
    np.testing.assert_array_equal(build_channels(ohlcv[4:5], name), whole[4:5])
    np.testing.assert_array_equal(scale.apply(whole), scaled)
    filled = np.empty_like(whole)
    assert scale.apply(whole, filled) is filled
    np.testing.assert_array_equal(filled, scaled)


def test_log_anchored_keeps_logarithms() -> None:
    ohlcv = bars()
    ohlcv[0, 3, 1] = 0.0
    ohlcv[1, 4, 4] = 0.0
    got = build_channels(ohlcv, "log_anchored")
    exact = ohlcv.astype(np.float64)
    np.testing.assert_allclose(got[2, :, :4], np.log(exact[2, :, :4]), rtol=1e-7)
    np.testing.assert_allclose(got[2, :, 4], np.log1p(exact[2, :, 4]), rtol=1e-7)
    assert np.isnan(got[0, 3, 1])  # a price of zero is no price
    assert got[1, 4, 4] == 0.0  # no trade is a volume
    assert channel_lookback("log_anchored") == 0
    assert needs_scale("log_anchored")


def test_anchored_windows_of_the_training_bars_have_size_one() -> None:
    """A cell of the window by hand: the root mean square of log(p / last close)."""
    ohlcv, length = bars(), 4
    train = np.arange(ohlcv.shape[1]) < 20
    values = build_channels(ohlcv, "log_anchored")
    scale = fit_scale(values, train, "log_anchored", length)
    assert scale is not None
    assert scale.mean == (0.0,) * 5
    prices, volumes = [], []
    for symbol in range(len(values)):
        for last in range(length - 1, 20):
            window = values[symbol, last - length + 1 : last + 1].astype(np.float64)
            if np.isfinite(window).all():
                prices.append(window[:, :4] - window[-1, 3])
                volumes.append(window[:, 4] - window[:, 4].mean())
    # One number for all prices: the last close is taken off all of them.
    assert len(set(scale.deviation[:4])) == 1
    assert scale.deviation[0] == pytest.approx(np.sqrt(np.square(prices).mean()))
    assert scale.deviation[4] == pytest.approx(np.sqrt(np.square(volumes).mean()))
    later = values.copy()
    later[:, 20:] *= 3
    assert fit_scale(later, train, "log_anchored", length) == scale


def test_anchored_windows_do_not_know_the_level_of_a_price() -> None:
    """The same moves at a hundred times the price are the same window."""
    ohlcv, length = bars(), 4
    ohlcv[1] = ohlcv[0]
    ohlcv[1, :, :4] *= 100
    values = build_channels(ohlcv, "log_anchored")
    train = np.ones(ohlcv.shape[1], dtype=np.bool_)
    scale = fit_scale(values, train, "log_anchored", length)
    inputs = make_inputs(values, length, normalization="log_anchored", scale=scale)
    cells = torch.tensor([0, 1]), torch.tensor([60, 60])
    cheap, dear = inputs.windows(*cells)
    torch.testing.assert_close(cheap, dear, rtol=0, atol=1e-3)
    assert cheap.abs().max() < 8


def test_what_is_taken_from_the_window_alone_needs_no_scale() -> None:
    for name in ("returns", "zscore", "minmax"):
        values = build_channels(bars(), name)
        train = np.ones(values.shape[1], dtype=np.bool_)
        assert fit_scale(values, train, name, 4) is None


def test_without_a_whole_window_there_is_no_scale() -> None:
    values = build_channels(bars(), "log_anchored")
    values[:, ::3] = np.nan
    train = np.ones(values.shape[1], dtype=np.bool_)
    for length in (4, 10_000):
        with pytest.raises(UserError, match="complete"):
            fit_scale(values, train, "log_anchored", length)


@pytest.mark.parametrize("name", NORMALIZATIONS)
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
    values = build_channels(bars(), "log_returns")
    train = np.arange(120) < 80
    scale = ChannelScale.fit(values, train)
    scaled = scale.apply(values)
    complete = scaled[:, train][np.isfinite(scaled[:, train]).all(axis=2)]
    np.testing.assert_allclose(complete.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(complete.std(axis=0), 1, atol=1e-5)
    later = values.copy()
    later[:, ~train] *= 5
    assert ChannelScale.fit(later, train) == scale
    np.testing.assert_array_equal(np.isnan(scaled), np.isnan(values))


def test_mistakes_are_named() -> None:
    with pytest.raises(UserError, match="log_returns"):
        build_channels(bars(), "logreturns")
    with pytest.raises(UserError, match="no training bar"):
        ChannelScale.fit(
            build_channels(bars(), "log_returns"), np.zeros(120, dtype=bool)
        )
