"""Bar returns over halts, and periods per year."""

import numpy as np
import pandas as pd
import pytest
from tests.bars.checked import check
from tests.bars.conftest import CHECKS

from ranking_pipeline.bars.config import ChecksConfig
from ranking_pipeline.panel import OHLCV, Panel
from ranking_pipeline.portfolio.returns import (
    bar_returns,
    holder_returns,
    panel_returns,
    periods_per_year,
)


def test_return_after_a_halt_covers_it() -> None:
    close = np.array([[np.nan, 10.0], [100, 11], [110, 99], [121, 22]])
    tradable = np.array([[False, True], [True, True], [False, False], [True, True]])
    got = bar_returns(close, tradable)
    expected = [[np.nan, np.nan], [np.nan, 0.1], [np.nan, np.nan], [0.21, 1.0]]
    np.testing.assert_allclose(got, expected)


@pytest.mark.parametrize(
    ("freq", "expected"), [("B", 252), ("W", 52), ("MS", 12), ("D", 252)]
)
def test_periods_of_calendars(freq: str, expected: float) -> None:
    stamps = pd.date_range("2020-01-01", periods=40, freq=freq).to_numpy()
    assert periods_per_year(stamps) == expected


def test_periods_of_five_minute_sessions() -> None:
    days = pd.date_range("2024-01-01", periods=6, freq="B")
    stamps = np.concatenate(
        [
            pd.date_range(d + pd.Timedelta("14h35min"), periods=78, freq="5min")
            for d in days
        ]
    )
    assert periods_per_year(stamps) == 252 * 78
    assert np.isnan(periods_per_year(stamps[:1]))


def _panel(close: np.ndarray, tradable: np.ndarray) -> Panel:
    """Bars of one price each, with volume, shape (S, T)."""
    values = np.repeat(close[:, :, None], len(OHLCV), axis=2).astype(np.float32)
    values[:, :, -1] = np.where(np.isfinite(close), 1000, np.nan)
    stamps = np.datetime64("2024-01-03", "ns") + np.arange(
        close.shape[1]
    ) * np.timedelta64(1, "D")
    names = tuple("ABCDEF"[: len(close)])
    return Panel(names, stamps, OHLCV, values, tradable)


def test_a_name_that_leaves_the_universe_can_still_be_sold() -> None:
    close = np.array([[10.0, 11, 22, 33], [10, 20, 20, 40], [10, np.nan, 20, 30]])
    tradable = np.isfinite(close)
    tradable[:, 2:] = False
    panel = _panel(close, tradable)
    found = holder_returns(panel)
    # B repeats its bar, so that it may be a stale one: its move comes later
    expected = [[0.1, 1.0, 0.5], [1.0, np.nan, 1.0], [np.nan, 1.0, 0.5]]
    np.testing.assert_allclose(found[1:].T, expected, rtol=1e-6)
    assert np.isnan(panel_returns(panel)[2:]).all()
    panel.values[:, 3, -1] = 0
    assert np.isnan(holder_returns(panel)[3]).all()
    panel.values[:, 2, -1] = np.nan
    assert np.isnan(holder_returns(panel)[2]).all()


def test_holders_of_members_see_the_returns_of_the_panel() -> None:
    rng = np.random.default_rng(0)
    close = np.round(50 * np.exp(np.cumsum(rng.normal(0, 0.02, (6, 40)), axis=1)), 1)
    close[rng.random(close.shape) < 0.1] = np.nan
    panel = _panel(close, np.isfinite(close))
    before = holder_returns(panel)
    np.testing.assert_array_equal(before, panel_returns(panel))
    panel.values[:, 30:, :4] *= 3
    panel.tradable[:, 30:] = False
    np.testing.assert_array_equal(holder_returns(panel)[:30], before[:30])


def test_one_factor_on_all_prices_is_no_return() -> None:
    """A name in other units has the same returns; its closes are the adjusted ones."""
    rng = np.random.default_rng(1)
    close = 50 * np.exp(np.cumsum(rng.normal(0, 0.02, (6, 40)), axis=1))
    panel = _panel(close, np.isfinite(close))
    before = holder_returns(panel)
    panel.values[:, :, :4] *= np.float32([1, 2, 4, 0.5, 8, 16])[:, None, None]
    np.testing.assert_array_equal(holder_returns(panel), before)
    np.testing.assert_array_equal(panel_returns(panel), before)


def test_returns_come_from_adjusted_closes() -> None:
    """A split of 2 for 1 and a dividend are no returns where adj_close tells them."""
    days = pd.bdate_range("2024-01-08", periods=4)
    raw = pd.DataFrame({"symbol": "A", "timestamp": days, "volume": 1000.0})
    raw["open"] = raw["high"] = raw["low"] = raw["close"] = [100.0, 110, 55, 54]
    raw["adj_close"] = [49.0, 53.9, 53.9, 54]
    panel = check(raw, ChecksConfig(**CHECKS)).panel
    found = holder_returns(panel)[1:, 0]
    np.testing.assert_allclose(found, [0.1, 0.0, 54 / 53.9 - 1], atol=1e-6)
    for name in OHLCV[:4]:
        np.testing.assert_array_equal(panel.field(name), panel.field("close"))
