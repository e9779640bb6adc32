"""Hand-computed values of the factors in units of the latest close and volume."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranking_pipeline.features import ALPHA158, compute_features
from ranking_pipeline.features.windows import (
    Pyramid,
    SumPyramid,
    fitted,
    mean,
    quantiles,
    required,
    slope,
    standard_deviation,
    total,
)
from ranking_pipeline.panel import OHLCV, Panel

CLOSE = [8.0, 10.0, 9.0, 12.0, 11.0, 16.0]
OPEN = [8.0, 8.5, 10.0, 9.5, 12.0, 12.0]
HIGH = [9.0, 11.0, 10.5, 14.0, 12.5, 18.0]
LOW = [7.0, 8.0, 8.5, 9.0, 10.0, 10.0]
VOLUME = [3.0, 1.0, 4.0, 2.0, 6.0, 5.0]
# the last five: closes 10 9 12 11 16, volumes 1 4 2 6 5
WEIGHTED = [0.25, 0.4, 2 / 3, 0.5, 25 / 11]  # |return| x volume


def _panel() -> Panel:
    values = np.array([OPEN, HIGH, LOW, CLOSE, VOLUME], dtype=np.float32).T[None]
    stamps = np.datetime64("2024-01-01", "ns") + np.arange(6) * np.timedelta64(1, "D")
    return Panel(("A",), stamps, OHLCV, values, np.ones((1, 6), dtype=bool))


def _sd(values: list[float]) -> float:
    return float(np.std(values, ddof=1))


def _corr(x: list[float], y: list[float]) -> float:
    return float(np.corrcoef(x, y)[0, 1])


EXPECTED = {
    "KMID": 4 / 12,
    "KLEN": 8 / 12,
    "KMID2": 4 / 8,
    "KUP": 2 / 12,
    "KUP2": 2 / 8,
    "KLOW": 2 / 12,
    "KLOW2": 2 / 8,
    "KSFT": (32 - 28) / 12,
    "KSFT2": (32 - 28) / 8,
    "OPEN0": 12 / 16,
    "HIGH0": 18 / 16,
    "LOW0": 10 / 16,
    "VWAP0": 44 / 3 / 16,
    "ROC5": 8 / 16,
    "MA5": 11.6 / 16,
    "STD5": math.sqrt((1.6**2 + 2.6**2 + 0.4**2 + 0.6**2 + 4.4**2) / 4) / 16,
    "BETA5": 1.4 / 16,  # (-2 x 10 - 9 + 11 + 2 x 16) / 10
    "RSQR5": 1.4**2 * 10 / 29.2,  # explained / total sum of squares
    "RESI5": (16 - (11.6 + 2 * 1.4)) / 16,
    "MAX5": 18 / 16,
    "MIN5": 8 / 16,
    "QTLU5": (12 + 0.2 * 4) / 16,  # 9 10 11 12 16 at place 3.2
    "QTLD5": (9 + 0.8) / 16,  # at place 0.8
    "RANK5": 1.0,
    "RSV5": (16 - 8) / (18 - 8),
    "IMAX5": 5 / 5,
    "IMIN5": 1 / 5,
    "IMXD5": 4 / 5,
    "CORR5": _corr(CLOSE[1:], [math.log(v + 1) for v in VOLUME[1:]]),
    "CORD5": _corr(
        [10 / 8, 9 / 10, 12 / 9, 11 / 12, 16 / 11],
        [math.log(r + 1) for r in (1 / 3, 4, 1 / 2, 3, 5 / 6)],
    ),
    "CNTP5": 3 / 5,
    "CNTN5": 2 / 5,
    "CNTD5": 1 / 5,
    "SUMP5": 10 / 12,  # +2 -1 +3 -1 +5
    "SUMN5": 2 / 12,
    "SUMD5": 8 / 12,
    "VMA5": 3.6 / 5,
    "VSTD5": math.sqrt((2.6**2 + 0.4**2 + 1.6**2 + 2.4**2 + 1.4**2) / 4) / 5,
    "WVMA5": _sd(WEIGHTED) / float(np.mean(WEIGHTED)),
    "VSUMP5": 7 / 12,  # -2 +3 -2 +4 -1
    "VSUMN5": 5 / 12,
    "VSUMD5": 2 / 12,
}


def test_there_is_a_value_for_every_kind() -> None:
    kinds = {c.rstrip("0123456789") if c[:1] != "K" else c for c in ALPHA158}
    assert {c.rstrip("0123456789") if c[:1] != "K" else c for c in EXPECTED} == kinds


@pytest.mark.parametrize("column", EXPECTED)
def test_hand_computed(column: str) -> None:
    value = compute_features(_panel(), [ALPHA158[column]])[0, -1, 0]
    assert value == pytest.approx(EXPECTED[column], rel=1e-6)


def test_bars_without_height_and_windows_without_moves_are_unknown() -> None:
    flat = np.full((1, 8, 5), 2.0, dtype=np.float32)
    stamps = np.datetime64("2024-01-01", "ns") + np.arange(8) * np.timedelta64(1, "D")
    panel = Panel(("A",), stamps, OHLCV, flat, np.ones((1, 8), dtype=bool))
    for column in ("KMID2", "KUP2", "KLOW2", "KSFT2", "RSV5", "SUMP5", "VSUMD5"):
        assert np.isnan(compute_features(panel, [ALPHA158[column]])).all(), column
    for column in ("RSQR5", "CORR5", "CORD5", "WVMA5"):
        assert np.isnan(compute_features(panel, [ALPHA158[column]])).all(), column
    for column, value in {"STD5": 0.0, "BETA5": 0.0, "RESI5": 0.0, "MA5": 1.0}.items():
        assert compute_features(panel, [ALPHA158[column]])[0, -1, 0] == value, column


def test_a_bar_without_volume() -> None:
    panel = _panel()
    panel.values[0, -1, 4] = 0.0
    (mean_ratio, correlation, growth) = compute_features(
        panel, [ALPHA158[c] for c in ("VMA5", "CORR5", "CORD5")]
    )[0, -1]
    assert np.isnan(mean_ratio)
    logs = [math.log(v + 1) for v in (1.0, 4.0, 2.0, 6.0, 0.0)]
    assert correlation == pytest.approx(_corr(CLOSE[1:], logs), rel=1e-6)
    assert np.isfinite(growth)


def _holed(seed: int, width: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = np.float32(100 + np.cumsum(rng.normal(0, 1, (2, width + 30)), axis=1))
    values[rng.random(values.shape) < 0.1] = np.nan
    return values.astype(np.float64)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), width=st.integers(2, 70))
def test_windows_equal_the_slow_ones(seed: int, width: int) -> None:
    values = _holed(seed, width)
    sums, moments = SumPyramid(values), Pyramid(values)
    trend = Pyramid(values, on_time=True)
    count = sums.window(width).n
    low, high = quantiles(values, count, width, (0.2, 0.8))
    for symbol, bar in ((0, width - 1), (1, width + 7), (0, width + 29)):
        window = values[symbol, bar - width + 1 : bar + 1]
        known = window[np.isfinite(window)]
        assert count[symbol, bar] == len(known)
        actual = [
            matrix[symbol, bar]
            for matrix in (
                total(sums, width),
                mean(sums, width),
                mean(moments, width),
                standard_deviation(moments, width),
                standard_deviation(trend, width, series=1),
                slope(trend, width),
                fitted(trend, width),
                low,
                high,
            )
        ]
        if len(known) < required(width):
            assert np.isnan(actual).all()
            continue
        ages = np.flatnonzero(np.isfinite(window)) - (width - 1)
        growth, level = np.polyfit(ages, known, 1)
        deviation = known.std(ddof=1)
        expected = [
            known.sum(),
            known.mean(),
            known.mean(),
            deviation,
            deviation,
            growth,
            level,
            np.quantile(known, 0.2),
            np.quantile(known, 0.8),
        ]
        np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-9)
