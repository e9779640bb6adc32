"""Factors against hand-computed values and slow plain references."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from ranking_pipeline.features import compute_features, feature_manifest
from ranking_pipeline.panel import OHLCV, Panel

Window = pd.DataFrame


def _enough(values: pd.Series, width: int) -> bool:
    least = width if width <= 10 else math.ceil(2 * width / 3)
    return values.notna().sum() >= least


def _over(values: pd.Series, width: int, statistic: Callable[..., float]) -> float:
    last = values.iloc[len(values) - width :]
    return statistic(last.dropna()) if _enough(last, width) else math.nan


def _mean(values: pd.Series, width: int) -> float:
    return _over(values, width, lambda v: v.mean())


def _std(values: pd.Series, width: int) -> float:
    return _over(values, width, lambda v: v.std(ddof=1))


def _corr(x: pd.Series, y: pd.Series, width: int) -> float:
    both = pd.DataFrame({"x": x, "y": y}).iloc[len(x) - width :]
    valid = both.dropna()
    if not _enough(both.x + both.y, width):
        return math.nan
    return float(np.corrcoef(valid.x, valid.y)[0, 1])


def _line(close: pd.Series, width: int) -> tuple[float, float, float]:
    last = np.log(close.iloc[len(close) - width :]).reset_index(drop=True)
    if not _enough(last, width):
        return math.nan, math.nan, math.nan
    valid = last.dropna()
    slope, start = np.polyfit(valid.index.to_numpy(float), valid.to_numpy(), 1)
    r2 = np.corrcoef(valid.index, valid)[0, 1] ** 2
    return slope, r2, last.iloc[-1] - (start + slope * (width - 1))


def _ret(b: Window) -> pd.Series:
    return b.close / b.close.shift(1) - 1


def _log_volume(b: Window) -> pd.Series:
    return np.log(b.volume.where(b.volume > 0))


def _moment(values: pd.Series, width: int, order: int) -> float:
    def standardised(v: pd.Series) -> float:
        return float((((v - v.mean()) / v.std(ddof=0)) ** order).mean())

    return _over(values, width, standardised)


def _surprise(values: pd.Series, width: int) -> float:
    return values.iloc[-1] - _mean(values.iloc[:-1], width)


def _age(values: pd.Series, width: int, best: float) -> float:
    last = values.iloc[len(values) - width :].to_numpy()
    return (width - 1 - np.flatnonzero(last == best)[-1]) / width


def _rank(close: pd.Series, width: int) -> float:
    if not _enough(close, width):
        return math.nan
    others = close.iloc[:-1].dropna()
    below, same = (others < close.iloc[-1]).sum(), (others == close.iloc[-1]).sum()
    return 2 * (below + same / 2) / len(others) - 1


def _gk(b: Window) -> pd.Series:
    body = np.log(b.close / b.open) ** 2
    return np.log(b.high / b.low) ** 2 / 2 - (2 * math.log(2) - 1) * body


def _impact(b: Window) -> pd.Series:
    money = (b.close * b.volume).where(b.volume > 0)
    return _ret(b).abs() / money


REFERENCES: dict[str, Callable[[Window, int], float]] = {
    "gap_1": lambda b, w: b.open.iloc[1] / b.close.iloc[0] - 1,
    "body_1": lambda b, w: b.close.iloc[0] / b.open.iloc[0] - 1,
    "upper_shadow_1": lambda b, w: (
        (b.high.iloc[0] - max(b.open.iloc[0], b.close.iloc[0])) / b.open.iloc[0]
    ),
    "lower_shadow_1": lambda b, w: (
        (min(b.open.iloc[0], b.close.iloc[0]) - b.low.iloc[0]) / b.open.iloc[0]
    ),
    "range_1": lambda b, w: math.log(b.high.iloc[0] / b.low.iloc[0]),
    "close_location_1": lambda b, w: (
        2 * (b.close - b.low).iloc[0] / (b.high - b.low).iloc[0] - 1
    ),
    "gap_mean_5": lambda b, w: _mean(b.open / b.close.shift(1) - 1, w),
    "gap_mean_20": lambda b, w: _mean(b.open / b.close.shift(1) - 1, w),
    "body_mean_20": lambda b, w: _mean(b.close / b.open - 1, w),
    "range_surprise_20": lambda b, w: _surprise(np.log(b.high / b.low), w),
    "ret_1": lambda b, w: b.close.iloc[-1] / b.close.iloc[0] - 1,
    "ret_20": lambda b, w: b.close.iloc[-1] / b.close.iloc[0] - 1,
    "momentum_60_5": lambda b, w: b.close.iloc[-6] / b.close.iloc[0] - 1,
    "momentum_120_20": lambda b, w: b.close.iloc[-21] / b.close.iloc[0] - 1,
    "up_share_20": lambda b, w: _mean((_ret(b) > 0).where(_ret(b).notna()) * 1.0, w),
    "down_share_5": lambda b, w: _mean((_ret(b) < 0).where(_ret(b).notna()) * 1.0, w),
    "gain_share_20": lambda b, w: (
        _mean(_ret(b).clip(lower=0), w) / _mean(_ret(b).abs(), w)
    ),
    "average_distance_20": lambda b, w: (
        np.log(b.close.iloc[-1]) - _mean(np.log(b.close), w)
    ),
    "slope_20": lambda b, w: _line(b.close, w)[0],
    "slope_10": lambda b, w: _line(b.close, w)[0],
    "r2_20": lambda b, w: _line(b.close, w)[1],
    "r2_60": lambda b, w: _line(b.close, w)[1],
    "residual_20": lambda b, w: _line(b.close, w)[2],
    "high_distance_20": lambda b, w: b.close.iloc[-1] / _over(b.high, w, max) - 1,
    "low_distance_60": lambda b, w: b.close.iloc[-1] / _over(b.low, w, min) - 1,
    "high_age_20": lambda b, w: _age(b.high, w, b.high.max()),
    "low_age_20": lambda b, w: _age(b.low, w, b.low.min()),
    "close_rank_20": lambda b, w: _rank(b.close, w),
    "vol_5": lambda b, w: _std(_ret(b), w),
    "vol_20": lambda b, w: _std(_ret(b), w),
    "vol_60": lambda b, w: _std(_ret(b), w),
    "vol_ratio_5_60": lambda b, w: math.log(_std(_ret(b), 5) / _std(_ret(b), 60)),
    "downside_vol_20": lambda b, w: math.sqrt(_mean(_ret(b).clip(upper=0) ** 2, w)),
    "parkinson_20": lambda b, w: math.sqrt(
        _mean(np.log(b.high / b.low) ** 2, w) / (4 * math.log(2))
    ),
    "garman_klass_20": lambda b, w: math.sqrt(_mean(_gk(b), w)),
    "max_ret_20": lambda b, w: _over(_ret(b), w, max),
    "min_ret_20": lambda b, w: _over(_ret(b), w, min),
    "skew_20": lambda b, w: _moment(_ret(b), w, 3),
    "kurtosis_60": lambda b, w: _moment(_ret(b), w, 4) - 3,
    "autocorrelation_20": lambda b, w: _corr(_ret(b), _ret(b).shift(1), w),
    "volume_surprise_5": lambda b, w: _surprise(_log_volume(b), w),
    "volume_surprise_20": lambda b, w: _surprise(_log_volume(b), w),
    "volume_z_20": lambda b, w: (
        _surprise(_log_volume(b), w) / _std(_log_volume(b).iloc[:-1], w)
    ),
    "volume_vol_20": lambda b, w: _std(_log_volume(b), w),
    "volume_trend_5_60": lambda b, w: (
        _mean(_log_volume(b), 5) - _mean(_log_volume(b), 60)
    ),
    "price_volume_correlation_10": lambda b, w: _corr(
        np.log(b.close), _log_volume(b), w
    ),
    "return_volume_correlation_20": lambda b, w: _corr(
        _ret(b), _log_volume(b).diff(), w
    ),
    "illiquidity_20": lambda b, w: math.log(_mean(_impact(b), w)),
    "traded_value_20": lambda b, w: _mean(np.log(b.close) + _log_volume(b), w),
}


def _reference(name: str, panel: Panel) -> np.ndarray:
    lookback = int(feature_manifest([name]).lookback_bars.iloc[0])
    width = int(name.rsplit("_", 1)[1])
    expected = np.full(panel.tradable.shape, np.nan)
    for symbol in range(panel.n_symbols):
        bars = pd.DataFrame(panel.values[symbol].astype(float), columns=list(OHLCV))
        for bar in range(lookback, panel.n_bars):
            window = bars.iloc[bar - lookback : bar + 1].reset_index(drop=True)
            if window.close.iloc[[0, -1]].notna().all():
                expected[symbol, bar] = REFERENCES[name](window, width)
    return expected


@pytest.mark.parametrize("name", REFERENCES)
def test_equals_the_plain_reference(name: str, holed_panel: Panel) -> None:
    expected = _reference(name, holed_panel)
    actual = compute_features(holed_panel, [name])[:, :, 0]
    assert np.isfinite(expected).sum() > 100
    np.testing.assert_allclose(actual, expected, rtol=2e-5, atol=2e-6)


def _tiny(closes: list[float], **fields: list[float]) -> Panel:
    columns = [fields.get(name, closes) for name in OHLCV]
    values = np.array(columns, dtype=np.float32).T[None]
    stamps = np.datetime64("2024-01-01", "ns") + np.arange(
        len(closes)
    ) * np.timedelta64(1, "D")
    return Panel(("A",), stamps, OHLCV, values, np.isfinite(values[:, :, 3]))


def _of(panel: Panel, name: str) -> np.ndarray:
    return compute_features(panel, [name])[:, :, 0]


def test_hand_computed_bar_shape() -> None:
    panel = _tiny([100, 110], open=[100, 104], high=[100, 114], low=[100, 102])
    for name, expected in {
        "gap_1": 0.04,
        "body_1": 6 / 104,
        "upper_shadow_1": 4 / 104,
        "lower_shadow_1": 2 / 104,
        "close_location_1": (8 - 4) / 12,
        "ret_1": 0.1,
    }.items():
        assert _of(panel, name)[0, 1] == pytest.approx(expected, rel=1e-6)
    assert np.isnan(_of(panel, "gap_1")[0, 0])
    assert np.isnan(_of(panel, "close_location_1")[0, 0])


def test_hand_computed_volume_surprise() -> None:
    volume = [math.e**k for k in (1, 2, 3, 4, 5, 9)]
    panel = _tiny([10.0] * 6, volume=volume)
    assert _of(panel, "volume_surprise_5")[0, 5] == pytest.approx(6.0, rel=1e-5)


def test_hand_computed_trend_of_exact_growth() -> None:
    panel = _tiny([100 * 1.01**k for k in range(15)])
    assert _of(panel, "slope_10")[0, 14] == pytest.approx(math.log(1.01), rel=1e-5)
    assert _of(panel, "r2_10")[0, 14] == pytest.approx(1.0, rel=1e-6)
    assert _of(panel, "up_share_5")[0, 14] == 1.0
    assert _of(panel, "close_rank_5")[0, 14] == 1.0
    assert _of(panel, "ret_10")[0, 14] == pytest.approx(1.01**10 - 1, rel=1e-5)


def test_flat_windows_have_no_spread_and_no_correlation() -> None:
    rng = np.random.default_rng(0)
    closes = [*(50 + rng.normal(0, 1, 30)), *([0.1] * 30)]
    panel = _tiny(closes, volume=list(np.exp(rng.normal(5, 1, 60))))
    assert _of(panel, "vol_20")[0, -1] == 0.0
    unknown = ("r2_20", "skew_20", "autocorrelation_20", "price_volume_correlation_20")
    for name in (*unknown, "gain_share_20", "vol_ratio_5_60"):
        assert np.isnan(_of(panel, name)[0, -1]), name


def test_a_spike_leaves_no_trace_behind_its_window() -> None:
    rng = np.random.default_rng(1)
    calm = np.exp(rng.normal(5, 0.1, 60))
    spiked = calm.copy()
    spiked[20] *= 1e6
    closes = list(50 + rng.normal(0, 1, 60))
    quiet, loud = (
        _of(_tiny(closes, volume=list(v)), "volume_vol_20") for v in (calm, spiked)
    )
    assert np.array_equal(quiet[0, 40:], loud[0, 40:])
    assert loud[0, 39] > 2 * quiet[0, 39]


def test_cross_sectional_factors(holed_panel: Panel, sectors: list[str]) -> None:
    names = ["ret_20", "vol_20", "rank_ret_20", "sector_ret_20", "calm_momentum_20"]
    values = compute_features(holed_panel, names)
    tradable = holed_panel.tradable
    for bar in range(holed_panel.n_bars):
        ret = pd.Series(np.where(tradable[:, bar], values[:, bar, 0], np.nan)).astype(
            float
        )
        vol = pd.Series(np.where(tradable[:, bar], values[:, bar, 1], np.nan))
        many = ret.notna().sum() >= 5
        rank = ret.rank() / (ret.notna().sum() + 1) if many else ret * np.nan
        np.testing.assert_allclose(values[:, bar, 2], rank, rtol=1e-6)
        groups = ret.groupby(sectors)
        demeaned = (ret - groups.transform("mean")).where(
            groups.transform("count") >= 2
        )
        np.testing.assert_allclose(values[:, bar, 3], demeaned, rtol=1e-4, atol=1e-7)
        calm = ret.where(vol < vol.median(), 0.0).where(
            ret.notna() & vol.notna() & many
        )
        np.testing.assert_allclose(values[:, bar, 4], calm, rtol=1e-6)


def test_too_small_a_cross_section_has_no_ranks(holed_panel: Panel) -> None:
    four = Panel(
        holed_panel.symbols[:4],
        holed_panel.timestamps,
        OHLCV,
        holed_panel.values[:4],
        holed_panel.tradable[:4],
    )
    assert np.isnan(_of(four, "rank_ret_1")).all()
    assert np.isnan(_of(four, "calm_momentum_20")).all()
    assert np.isfinite(_of(four, "sector_ret_1")).any()
