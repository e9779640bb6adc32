"""The 25 scaled levels: order, values, and no maximum of later bars."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranking_pipeline.features import compute_features
from ranking_pipeline.features.factors import FACTORS
from ranking_pipeline.panel import OHLCV, Panel

NAMES = [name for name, factor in FACTORS.items() if "daily25" in factor.sets]
N_BARS = 120


@pytest.fixture(scope="module")
def panel(panel_builder: Callable[..., Panel]) -> Panel:
    return panel_builder(14, 6, N_BARS)


@pytest.fixture(scope="module")
def whole(panel: Panel) -> np.ndarray:
    return compute_features(panel, NAMES)


def _same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return np.ascontiguousarray(a).tobytes() == np.ascontiguousarray(b).tobytes()


def test_the_order_is_mean_5_10_20_30_and_value_of_each_field() -> None:
    expected = [
        f"daily25_{field}{part}"
        for field in OHLCV
        for part in ("_mean_5", "_mean_10", "_mean_20", "_mean_30", "")
    ]
    assert expected == NAMES
    assert NAMES[19] == "daily25_close"
    assert all(FACTORS[name].expanding for name in NAMES)


def test_equals_plain_pandas(panel: Panel, whole: np.ndarray) -> None:
    for position, field in enumerate(OHLCV):
        raw = pd.DataFrame(panel.cross_sections(field).astype(float))
        close = pd.DataFrame(panel.cross_sections("close"))
        highest = raw.expanding().max()
        for offset, width in enumerate((5, 10, 20, 30)):
            known = close.notna() & close.shift(width - 1).notna()
            least = width if width <= 10 else -(-2 * width // 3)
            mean = raw.rolling(width, min_periods=least).mean()
            expected = (mean / highest).where(known).to_numpy().T
            actual = whole[:, :, 5 * position + offset]
            np.testing.assert_allclose(actual, expected, rtol=1e-5)
        expected = (raw / highest).to_numpy().T
        np.testing.assert_allclose(
            whole[:, :, 5 * position + 4], expected, rtol=1e-6, atol=0
        )


def test_hand_computed() -> None:
    closes = np.array([10, 40, 20, 30, 50, 25], np.float32)
    values = np.repeat(closes[None, :, None], 5, axis=2)
    days = np.datetime64("2024-01-01", "ns") + np.arange(6) * np.timedelta64(1, "D")
    panel = Panel(("A",), days, OHLCV, values, np.ones((1, 6), bool))
    mean, value = compute_features(panel, ["daily25_close_mean_5", "daily25_close"])[
        0
    ].T
    np.testing.assert_allclose(value, [1, 1, 0.5, 0.75, 1, 0.5])
    np.testing.assert_array_equal(np.isnan(mean), [1, 1, 1, 1, 0, 0])
    np.testing.assert_allclose(mean[4:], [30 / 50, 33 / 50], rtol=1e-6)


@settings(max_examples=15, deadline=None)
@given(last=st.integers(1, N_BARS - 1))
def test_truncation_changes_nothing(last: int, panel: Panel, whole: np.ndarray) -> None:
    cut = compute_features(panel.cut(slice(0, last)), NAMES)
    assert _same_bits(cut, whole[:, :last])


def test_a_later_record_changes_nothing_before_it(
    panel: Panel, whole: np.ndarray
) -> None:
    values = panel.values.copy()
    values[:, 80:] *= 1000
    altered = compute_features(dataclasses.replace(panel, values=values), NAMES)
    assert _same_bits(altered[:, :80], whole[:, :80])
    assert not _same_bits(altered[:, 80:], whole[:, 80:])


def test_the_maximum_of_all_bars_would_be_caught(
    panel: Panel, whole: np.ndarray
) -> None:
    """What the scaling must not do: cut the future and the scaled level moves."""
    close = panel.field("close")
    leaking = close / np.nanmax(close, axis=1, keepdims=True)
    cut = close[:, :80] / np.nanmax(close[:, :80], axis=1, keepdims=True)
    assert not _same_bits(cut, leaking[:, :80])
    assert np.nanmax(np.abs(whole[:, :80, 19] - leaking[:, :80])) > 0.01
