"""Factors against plain pandas: rolling windows of wide frames, written to be read.

A window of up to 10 bars needs all its values, a longer one two thirds; a value is known
where the close of t and the close at the far end of the look-back exist.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from ranking_pipeline.features import compute_features, feature_manifest
from ranking_pipeline.features.sets import ALPHA158
from ranking_pipeline.panel import Panel

Frame = pd.DataFrame
Bars = dict[str, Frame]
N_BARS = 200


@pytest.fixture(scope="module")
def panel(panel_builder: Callable[..., Panel]) -> Panel:
    return panel_builder(21, 6, N_BARS)


@pytest.fixture(scope="module")
def bars(panel: Panel) -> Bars:
    """One frame (bar, symbol) per field."""
    return {
        name: pd.DataFrame(panel.cross_sections(name).astype(float))
        for name in panel.fields
    }


def least(w: int) -> int:
    return w if w <= 10 else math.ceil(2 * w / 3)


def roll(frame: Frame, w: int) -> pd.core.window.rolling.Rolling:
    return frame.rolling(w, min_periods=least(w))


def ret(b: Bars) -> Frame:
    return b["close"] / b["close"].shift(1) - 1


def change(frame: Frame) -> Frame:
    return frame - frame.shift(1)


def positive(frame: Frame) -> Frame:
    return frame.where(frame > 0)


def log_volume(b: Bars) -> Frame:
    return np.log(positive(b["volume"]))


def flag(condition: Frame, known: Frame) -> Frame:
    return condition.astype(float).where(known.notna())


def fit(frame: Frame, w: int, what: str) -> Frame:
    """Least-squares line through the known values of each window."""

    def of_window(y: np.ndarray) -> float:
        x = np.arange(len(y), dtype=float)[np.isfinite(y)]
        known = y[np.isfinite(y)]
        slope, start = np.polyfit(x, known, 1)
        if what == "slope":
            return slope
        if what == "r2":
            return np.corrcoef(x, known)[0, 1] ** 2
        return y[-1] - (start + slope * (len(y) - 1))

    return roll(frame, w).apply(of_window, raw=True)


def corr(x: Frame, y: Frame, w: int) -> Frame:
    columns = {
        name: roll(x[name].where(y[name].notna()), w).corr(
            y[name].where(x[name].notna())
        )
        for name in x
    }
    return pd.DataFrame(columns).where(roll(x + y, w).count() >= least(w))


def moment(frame: Frame, w: int, order: int) -> Frame:
    def of_window(v: np.ndarray) -> float:
        v = v[np.isfinite(v)]
        return np.mean(((v - v.mean()) / v.std()) ** order)

    return roll(frame, w).apply(of_window, raw=True)


def place(frame: Frame, w: int, best: Callable[[np.ndarray], float]) -> Frame:
    """Position 1 ... w of the best bar of the window, the latest on ties."""

    def of_window(v: np.ndarray) -> float:
        return float(np.flatnonzero(v == best(v))[-1] + 1)

    return roll(frame, w).apply(of_window, raw=True)


def surprise(frame: Frame, w: int) -> Frame:
    return frame - roll(frame, w).mean().shift(1)


def rises(frame: Frame, w: int) -> Frame:
    return (
        roll(change(frame).clip(lower=0), w).sum() / roll(change(frame).abs(), w).sum()
    )


def falls(frame: Frame, w: int) -> Frame:
    return rises(-frame, w)


def height(b: Bars) -> Frame:
    return b["high"] - b["low"]


def body_top(b: Bars) -> Frame:
    return np.maximum(b["open"], b["close"])


def body_bottom(b: Bars) -> Frame:
    return np.minimum(b["open"], b["close"])


def up(b: Bars, w: int) -> Frame:
    return roll(flag(ret(b) > 0, ret(b)), w).mean()


def down(b: Bars, w: int) -> Frame:
    return roll(flag(ret(b) < 0, ret(b)), w).mean()


def variation(b: Bars, w: int) -> Frame:
    moved = ret(b).abs() * b["volume"]
    return roll(moved, w).std() / roll(moved, w).mean()


def garman_klass(b: Bars) -> Frame:
    body = np.log(b["close"] / b["open"]) ** 2
    return np.log(b["high"] / b["low"]) ** 2 / 2 - (2 * math.log(2) - 1) * body


def growth_corr(b: Bars, w: int) -> Frame:
    growth = b["close"] / b["close"].shift(1)
    volume_growth = np.log(b["volume"] / positive(b["volume"].shift(1)) + 1)
    return corr(growth, volume_growth, w)


def impact(b: Bars) -> Frame:
    return ret(b).abs() / positive(b["close"] * b["volume"])


ALPHA158_KINDS: dict[str, Callable[[Bars, int], Frame]] = {
    "KMID": lambda b, w: (b["close"] - b["open"]) / b["open"],
    "KLEN": lambda b, w: height(b) / b["open"],
    "KMID2": lambda b, w: (b["close"] - b["open"]) / height(b),
    "KUP": lambda b, w: (b["high"] - body_top(b)) / b["open"],
    "KUP2": lambda b, w: (b["high"] - body_top(b)) / height(b),
    "KLOW": lambda b, w: (body_bottom(b) - b["low"]) / b["open"],
    "KLOW2": lambda b, w: (body_bottom(b) - b["low"]) / height(b),
    "KSFT": lambda b, w: (2 * b["close"] - b["high"] - b["low"]) / b["open"],
    "KSFT2": lambda b, w: (2 * b["close"] - b["high"] - b["low"]) / height(b),
    "OPEN": lambda b, w: b["open"] / b["close"],
    "HIGH": lambda b, w: b["high"] / b["close"],
    "LOW": lambda b, w: b["low"] / b["close"],
    "VWAP": lambda b, w: (b["high"] + b["low"] + b["close"]) / 3 / b["close"],
    "ROC": lambda b, w: b["close"].shift(w) / b["close"],
    "MA": lambda b, w: roll(b["close"], w).mean() / b["close"],
    "STD": lambda b, w: roll(b["close"], w).std() / b["close"],
    "BETA": lambda b, w: fit(b["close"], w, "slope") / b["close"],
    "RSQR": lambda b, w: fit(b["close"], w, "r2"),
    "RESI": lambda b, w: fit(b["close"], w, "residual") / b["close"],
    "MAX": lambda b, w: roll(b["high"], w).max() / b["close"],
    "MIN": lambda b, w: roll(b["low"], w).min() / b["close"],
    "QTLU": lambda b, w: roll(b["close"], w).quantile(0.8) / b["close"],
    "QTLD": lambda b, w: roll(b["close"], w).quantile(0.2) / b["close"],
    "RANK": lambda b, w: roll(b["close"], w).rank(pct=True),
    "RSV": lambda b, w: (
        (b["close"] - roll(b["low"], w).min())
        / (roll(b["high"], w).max() - roll(b["low"], w).min())
    ),
    "IMAX": lambda b, w: place(b["high"], w, np.nanmax) / w,
    "IMIN": lambda b, w: place(b["low"], w, np.nanmin) / w,
    "IMXD": lambda b, w: (
        (place(b["high"], w, np.nanmax) - place(b["low"], w, np.nanmin)) / w
    ),
    "CORR": lambda b, w: corr(b["close"], np.log(b["volume"] + 1), w),
    "CORD": growth_corr,
    "CNTP": up,
    "CNTN": down,
    "CNTD": lambda b, w: up(b, w) - down(b, w),
    "SUMP": lambda b, w: rises(b["close"], w),
    "SUMN": lambda b, w: falls(b["close"], w),
    "SUMD": lambda b, w: rises(b["close"], w) - falls(b["close"], w),
    "VMA": lambda b, w: roll(b["volume"], w).mean() / b["volume"],
    "VSTD": lambda b, w: roll(b["volume"], w).std() / b["volume"],
    "WVMA": variation,
    "VSUMP": lambda b, w: rises(b["volume"], w),
    "VSUMN": lambda b, w: falls(b["volume"], w),
    "VSUMD": lambda b, w: rises(b["volume"], w) - falls(b["volume"], w),
}

OWN_KINDS: dict[str, Callable[[Bars, int], Frame]] = {
    "gap_1": lambda b, w: b["open"] / b["close"].shift(1) - 1,
    "range_1": lambda b, w: np.log(b["high"] / b["low"]),
    "gap_mean_5": lambda b, w: roll(b["open"] / b["close"].shift(1) - 1, w).mean(),
    "gap_mean_20": lambda b, w: roll(b["open"] / b["close"].shift(1) - 1, w).mean(),
    "body_mean_20": lambda b, w: roll(b["close"] / b["open"] - 1, w).mean(),
    "range_surprise_20": lambda b, w: surprise(np.log(b["high"] / b["low"]), w),
    "ret_1": lambda b, w: ret(b),
    "ret_20": lambda b, w: b["close"] / b["close"].shift(w) - 1,
    "momentum_60_5": lambda b, w: b["close"].shift(5) / b["close"].shift(60) - 1,
    "gain_share_10": lambda b, w: (
        roll(ret(b).clip(lower=0), w).mean() / roll(ret(b).abs(), w).mean()
    ),
    "average_distance_10": lambda b, w: (
        np.log(b["close"]) - roll(np.log(b["close"]), w).mean()
    ),
    "average_distance_20": lambda b, w: (
        np.log(b["close"]) - roll(np.log(b["close"]), w).mean()
    ),
    "slope_10": lambda b, w: fit(np.log(b["close"]), w, "slope"),
    "slope_20": lambda b, w: fit(np.log(b["close"]), w, "slope"),
    "r2_20": lambda b, w: fit(np.log(b["close"]), w, "r2"),
    "residual_20": lambda b, w: fit(np.log(b["close"]), w, "residual"),
    "high_distance_20": lambda b, w: b["close"] / roll(b["high"], w).max() - 1,
    "low_distance_60": lambda b, w: b["close"] / roll(b["low"], w).min() - 1,
    "high_age_20": lambda b, w: (w - place(b["high"], w, np.nanmax)) / w,
    "low_age_20": lambda b, w: (w - place(b["low"], w, np.nanmin)) / w,
    "vol_5": lambda b, w: roll(ret(b), w).std(),
    "vol_20": lambda b, w: roll(ret(b), w).std(),
    "vol_ratio_5_60": lambda b, w: np.log(
        roll(ret(b), 5).std() / roll(ret(b), 60).std()
    ),
    "downside_vol_20": lambda b, w: np.sqrt(roll(ret(b).clip(upper=0) ** 2, w).mean()),
    "parkinson_10": lambda b, w: np.sqrt(
        roll(np.log(b["high"] / b["low"]) ** 2, w).mean() / (4 * math.log(2))
    ),
    "garman_klass_20": lambda b, w: np.sqrt(roll(garman_klass(b), w).mean()),
    "max_ret_20": lambda b, w: roll(ret(b), w).max(),
    "min_ret_20": lambda b, w: roll(ret(b), w).min(),
    "skew_20": lambda b, w: moment(ret(b), w, 3),
    "kurtosis_20": lambda b, w: moment(ret(b), w, 4) - 3,
    "autocorrelation_20": lambda b, w: corr(ret(b), ret(b).shift(1), w),
    "volume_surprise_5": lambda b, w: surprise(log_volume(b), w),
    "volume_surprise_20": lambda b, w: surprise(log_volume(b), w),
    "volume_z_20": lambda b, w: (
        surprise(log_volume(b), w) / roll(log_volume(b), w).std().shift(1)
    ),
    "volume_vol_20": lambda b, w: roll(log_volume(b), w).std(),
    "volume_trend_5_60": lambda b, w: (
        roll(log_volume(b), 5).mean() - roll(log_volume(b), 60).mean()
    ),
    "price_volume_correlation_10": lambda b, w: corr(
        np.log(b["close"]), log_volume(b), w
    ),
    "return_volume_correlation_20": lambda b, w: corr(ret(b), change(log_volume(b)), w),
    "illiquidity_5": lambda b, w: np.log(roll(impact(b), w).mean()),
    "illiquidity_20": lambda b, w: np.log(roll(impact(b), w).mean()),
    "traded_value_20": lambda b, w: roll(
        np.log(positive(b["close"] * b["volume"])), w
    ).mean(),
}


def _alpha158_cases() -> list[tuple[str, str]]:
    """(kind, our factor): rolling kinds at a short and at a long window."""
    cases = []
    for column, name in ALPHA158.items():
        kind, width = re.fullmatch(r"(K[A-Z]+2?|[A-Z]+)(\d*)", column).groups()
        if width in {"", "0", "10", "30"}:
            cases.append((kind, name))
    return cases


def _check(name: str, reference: Callable[..., Frame], panel: Panel, b: Bars) -> None:
    lookback = int(feature_manifest([name]).lookback_bars.iloc[0])
    close = b["close"]
    known = close.notna() & close.shift(lookback).notna()
    expected = reference(b, int(name.rsplit("_", 1)[1])).where(known)
    expected = expected.replace([np.inf, -np.inf], np.nan).to_numpy().T
    actual = compute_features(panel, [name])[:, :, 0]
    assert np.isfinite(expected).sum() > 300
    np.testing.assert_array_equal(np.isnan(actual), np.isnan(expected))
    scale = np.nanmedian(np.abs(expected))
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6 * scale)


def test_enough_factors_are_compared() -> None:
    kinds = {kind for kind, _ in _alpha158_cases()}
    assert kinds == set(ALPHA158_KINDS)
    assert len({name for _, name in _alpha158_cases()} | set(OWN_KINDS)) >= 100


@pytest.mark.parametrize(("kind", "name"), _alpha158_cases())
def test_an_alpha158_factor_equals_plain_pandas(
    kind: str, name: str, panel: Panel, bars: Bars
) -> None:
    _check(name, ALPHA158_KINDS[kind], panel, bars)


@pytest.mark.parametrize("name", OWN_KINDS)
def test_a_factor_equals_plain_pandas(name: str, panel: Panel, bars: Bars) -> None:
    _check(name, OWN_KINDS[name], panel, bars)
