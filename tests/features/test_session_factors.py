"""Factors of the running session against groupby, and bit for bit from any start."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranking_pipeline.errors import UserError
from ranking_pipeline.features import compute_features
from ranking_pipeline.features.factors import FACTORS
from ranking_pipeline.features.factors import session as session_module
from ranking_pipeline.panel import OHLCV, Panel

NAMES = [name for name, f in FACTORS.items() if f.group == session_module.GROUP]
N_SESSIONS, BARS_OF_DAY = 30, 24  # two hours of 5-minute bars
SHORT_DAY, LONG_DAY = 12, 30
COMPARED = [0, 3, 4]  # symbols with a gap, with single holes, without a session


def _axis() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ends, dates and minutes; a short day, a long one, one without its first bars."""
    ends, dates, minutes = [], [], []
    days = pd.bdate_range("2024-03-04", periods=N_SESSIONS)
    for number, day in enumerate(days):
        bars = np.arange(1, {11: SHORT_DAY, 20: LONG_DAY}.get(number, BARS_OF_DAY) + 1)
        bars = bars[2:] if number == 17 else bars
        opening = day + pd.Timedelta(hours=14, minutes=30)
        ends += [opening + pd.Timedelta(minutes=5 * int(k)) for k in bars]
        dates += [day] * len(bars)
        minutes += list(5 * bars)
    return (
        np.array(ends, "M8[ns]"),
        np.array(dates, "M8[D]"),
        np.array(minutes, np.int32),
    )


@pytest.fixture(scope="module")
def panel(panel_builder: Callable[..., Panel]) -> Panel:
    ends, dates, minutes = _axis()
    walk = panel_builder(2, 5, len(ends))
    values = walk.values.copy()
    first_bars = np.flatnonzero(np.diff(dates.view("i8")) > 0) + 1
    values[0, first_bars[5]] = np.nan  # a session that begins late for one symbol
    values[4, first_bars[7] : first_bars[8]] = np.nan  # a session without trading
    values[4, first_bars[9] : first_bars[9] + 3, 4] = 0.0
    return dataclasses.replace(
        walk,
        values=values,
        tradable=~np.isnan(values[:, :, 3]),
        timestamps=ends,
        trading_dates=dates,
        session_minutes=minutes,
    )


@pytest.fixture(scope="module")
def whole(panel: Panel) -> np.ndarray:
    return compute_features(panel, NAMES)


def _same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return np.ascontiguousarray(a).tobytes() == np.ascontiguousarray(b).tobytes()


# one symbol's bars of one session (present ones), the sessions before it, newest first
Session = pd.DataFrame
References = dict[str, Callable[[Session, int, list[Session]], float]]


def _typical(s: Session) -> pd.Series:
    return (s.high + s.low + s.close) / 3


def _usual_minutes(before: list[Session]) -> int:
    return max(s.attrs["minutes"] for s in before[:5])


def _share(s: Session, before: list[Session]) -> float:
    return s.minute.iloc[-1] / _usual_minutes(before)


def _opening_range(s: Session, field: str, best: str) -> float:
    if s.minute.iloc[-1] < 30:
        return math.nan
    return getattr(s[field][s.minute <= 30], best)()


def _inside_returns(s: Session) -> pd.Series:
    adjacent = s.axis.diff() == 1
    return (s.close / s.close.shift(1) - 1)[adjacent]


def _volume_surprise(s: Session, before: list[Session], n: int) -> float:
    minute = s.minute.iloc[-1]
    past = [p.volume[p.minute <= minute] for p in before[:n]]
    known = [p.sum() for p in past if len(p)]
    if len(known) < (n if n <= 10 else math.ceil(2 * n / 3)):
        return math.nan
    return math.log(s.volume.sum() / np.mean(known)) if s.volume.sum() else math.nan


REFERENCES: dict[str, tuple[int, Callable[[Session, list[Session]], float]]] = {
    "session_minutes": (0, lambda s, b: s.minute.iloc[-1]),
    "session_share": (5, _share),
    "session_sine": (5, lambda s, b: math.sin(2 * math.pi * _share(s, b))),
    "session_cosine": (5, lambda s, b: math.cos(2 * math.pi * _share(s, b))),
    "first_half_hour": (0, lambda s, b: float(s.minute.iloc[-1] <= 30)),
    "last_half_hour": (
        5,
        lambda s, b: float(s.minute.iloc[-1] > _usual_minutes(b) - 30),
    ),
    "overnight_gap": (
        1,
        lambda s, b: (
            s.open.iloc[0] / b[0].close.iloc[-1] - 1 if len(b[0]) else math.nan
        ),
    ),
    "session_return": (0, lambda s, b: s.close.iloc[-1] / s.open.iloc[0] - 1),
    "return_since_close": (
        1,
        lambda s, b: (
            s.close.iloc[-1] / b[0].close.iloc[-1] - 1 if len(b[0]) else math.nan
        ),
    ),
    "opening_high_distance": (
        0,
        lambda s, b: s.close.iloc[-1] / _opening_range(s, "high", "max") - 1,
    ),
    "opening_low_distance": (
        0,
        lambda s, b: s.close.iloc[-1] / _opening_range(s, "low", "min") - 1,
    ),
    "session_high_distance": (0, lambda s, b: s.close.iloc[-1] / s.high.max() - 1),
    "session_low_distance": (0, lambda s, b: s.close.iloc[-1] / s.low.min() - 1),
    "session_vwap_distance": (
        0,
        lambda s, b: (
            s.close.iloc[-1] / ((_typical(s) * s.volume).sum() / s.volume.sum()) - 1
            if s.volume.sum()
            else math.nan
        ),
    ),
    "session_volatility": (
        0,
        lambda s, b: (
            math.sqrt((_inside_returns(s) ** 2).mean())
            if len(_inside_returns(s)) >= 3
            else math.nan
        ),
    ),
    "session_volume_surprise_5": (5, lambda s, b: _volume_surprise(s, b, 5)),
    "session_volume_surprise_20": (20, lambda s, b: _volume_surprise(s, b, 20)),
}


def _sessions(panel: Panel, symbol: int) -> list[Session]:
    rows = pd.DataFrame(panel.values[symbol].astype(float), columns=list(OHLCV))
    rows["minute"], rows["axis"] = panel.session_minutes, np.arange(panel.n_bars)
    sessions = []
    for _, own in rows.groupby(panel.session):
        present = own[own.close.notna()]
        present.attrs["minutes"] = own.minute.iloc[-1]
        sessions.append(present)
    return sessions


@pytest.fixture(scope="module")
def expected(panel: Panel) -> np.ndarray:
    """The references of the compared symbols: in pandas, bar by bar, so it takes long."""
    values = np.full((len(COMPARED), panel.n_bars, len(NAMES)), np.nan)
    for row, symbol in enumerate(COMPARED):
        sessions = _sessions(panel, symbol)
        for number in range(1, len(sessions)):
            before = sessions[number - 1 :: -1]
            for last in range(len(sessions[number])):
                so_far = sessions[number].iloc[: last + 1]
                bar = so_far["axis"].iloc[-1]
                for i, name in enumerate(NAMES):
                    needed, reference = REFERENCES[name]
                    if number > needed:
                        values[row, bar, i] = reference(so_far, before)
    return values


def test_every_session_factor_has_a_reference() -> None:
    assert set(NAMES) == set(REFERENCES)
    for name, (needed, _) in REFERENCES.items():
        assert FACTORS[name].session
        assert FACTORS[name].lookback_sessions == needed
        assert FACTORS[name].sets == ("session",)


@pytest.mark.parametrize("name", NAMES)
def test_equals_the_plain_reference(
    name: str, whole: np.ndarray, expected: np.ndarray
) -> None:
    i = NAMES.index(name)
    assert np.isfinite(expected[:, :, i]).sum() > 500
    np.testing.assert_allclose(
        whole[COMPARED, :, i], expected[:, :, i], rtol=1e-5, atol=1e-7, equal_nan=True
    )


def test_the_first_sessions_are_unknown(panel: Panel, whole: np.ndarray) -> None:
    for i, name in enumerate(NAMES):
        early = panel.session <= FACTORS[name].lookback_sessions
        assert np.isnan(whole[:, early, i]).all()
        assert np.isfinite(whole[:, ~early, i]).any()


@settings(max_examples=15, deadline=None)
@given(start=st.integers(1, N_SESSIONS * BARS_OF_DAY - 60))
def test_a_start_inside_any_session_leaves_the_same_bits(
    start: int, panel: Panel, whole: np.ndarray
) -> None:
    cut = panel.cut(slice(start, None))
    late = compute_features(cut, NAMES)
    for i, name in enumerate(NAMES):
        known = cut.session > FACTORS[name].lookback_sessions
        assert np.isnan(late[:, ~known, i]).all()
        assert _same_bits(late[:, known, i], whole[:, start:, i][:, known])


@settings(max_examples=10, deadline=None)
@given(last=st.integers(1, N_SESSIONS * BARS_OF_DAY - 20), seed=st.integers(0, 2**31))
def test_neither_truncation_nor_another_future_changes_anything(
    last: int, seed: int, panel: Panel, whole: np.ndarray
) -> None:
    cut = compute_features(panel.cut(slice(0, last)), NAMES)
    assert _same_bits(cut, whole[:, :last])
    rng = np.random.default_rng(seed)
    values = panel.values.copy()
    values[:, last:] *= np.exp(rng.normal(0, 3, values[:, last:].shape))
    values[:, last:][rng.random(values[:, last:].shape[:2]) < 0.3] = np.nan
    altered = dataclasses.replace(panel, values=values)
    assert _same_bits(compute_features(altered, NAMES)[:, :last], whole[:, :last])


def test_another_past_changes_nothing_behind_the_declared_sessions(
    panel: Panel, whole: np.ndarray
) -> None:
    session = 25
    for i, name in enumerate(NAMES):
        values = panel.values.copy()
        old = panel.session < session - FACTORS[name].lookback_sessions
        values[:, old] *= 7.3
        altered = dataclasses.replace(panel, values=values)
        now = panel.session == session
        assert _same_bits(
            compute_features(altered, [name])[:, now, 0], whole[:, now, i]
        )


def test_symbols_do_not_enter_each_other(panel: Panel, whole: np.ndarray) -> None:
    alone = compute_features(panel.cut(slice(None), slice(2, 3)), NAMES)
    assert _same_bits(alone, whole[2:3])


def _three_days(closes: list[float], volumes: list[float]) -> Panel:
    """Sessions of one, two and four bars of 15 minutes; high = low = open = close."""
    values = np.array([[closes] * 4 + [volumes]], np.float32).transpose(0, 2, 1)
    minutes = np.array([15, 15, 30, 15, 30, 45, 60], np.int32)
    days = ["2024-01-02"] + ["2024-01-03"] * 2 + ["2024-01-04"] * 4
    dates = np.array(days, "M8[D]")
    return Panel(
        ("A",),
        dates.astype("M8[ns]") + (minutes + 870).astype("m8[m]"),
        OHLCV,
        values.copy(),
        np.ones((1, 7), bool),
        dates,
        minutes,
    )


def test_hand_computed() -> None:
    panel = _three_days([7, 50, 100, 110, 121, 99, 110], [1, 1, 1, 2, 1, 1, 4])
    names = ["overnight_gap", "return_since_close", "session_return"]
    names += ["session_vwap_distance", "opening_high_distance", "session_volatility"]
    last_day = compute_features(panel, names)[0, 3:]
    gap, since_close, since_open, vwap, opening, vol = last_day.T
    np.testing.assert_allclose(gap, 0.1, rtol=1e-6)
    np.testing.assert_allclose(since_close, [0.1, 0.21, -0.01, 0.1], rtol=1e-5)
    np.testing.assert_allclose(since_open, [0, 0.1, -0.1, 0], atol=1e-7)
    mean_price = (2 * 110 + 121 + 99) / 4
    assert vwap[2] == pytest.approx(99 / mean_price - 1, rel=1e-5)
    np.testing.assert_array_equal(np.isnan(opening), [1, 0, 0, 0])
    assert opening[3] == pytest.approx(110 / 121 - 1, rel=1e-5)
    returns = np.array([0.1, 99 / 121 - 1, 110 / 99 - 1])
    np.testing.assert_array_equal(np.isnan(vol), [1, 1, 1, 0])
    assert vol[3] == pytest.approx(math.sqrt((returns**2).mean()), rel=1e-5)


def test_two_bars_in_one_minute_are_refused() -> None:
    panel = _three_days([1] * 7, [1] * 7)
    crowded = dataclasses.replace(
        panel, session_minutes=np.array([15, 15, 30, 15, 15, 45, 60], np.int32)
    )
    with pytest.raises(UserError, match="same minute"):
        compute_features(crowded, ["session_return"])


def test_bars_before_the_opening_are_not_in_the_opening_range() -> None:
    panel = _three_days([7, 50, 100, 110, 121, 99, 110], [1] * 7)
    early = dataclasses.replace(
        panel, session_minutes=np.array([15, 15, 30, -5, 15, 30, 45], np.int32)
    )
    names = ["first_half_hour", "opening_high_distance", "session_high_distance"]
    flag, opening, session = compute_features(early, names)[0, 3:].T
    np.testing.assert_array_equal(flag, [0, 1, 1, 0])
    np.testing.assert_allclose(opening[2:], [99 / 121 - 1, 110 / 121 - 1], rtol=1e-5)
    np.testing.assert_allclose(session[:2], 0.0)


@pytest.mark.realdata
def test_real_five_minute_bars(real_data: Path) -> None:
    """Thin names of 2024: session return, gap and VWAP against rows and groupby."""
    rows = pd.read_parquet(real_data / "us_stocks_5min_2024.parquet")
    rows["end"] = rows.timestamp + pd.Timedelta(minutes=5)
    local = rows.end.dt.tz_localize("UTC").dt.tz_convert("America/New_York")
    rows["minute"] = local.dt.hour * 60 + local.dt.minute - 570
    rows["date"] = local.dt.tz_localize(None).dt.normalize()
    rows = rows[rows.minute.between(5, 390)]
    wide = rows.pivot(index="symbol", columns="end", values=list(OHLCV)).sort_index()
    values = np.stack([wide[name].to_numpy(np.float32) for name in OHLCV], axis=-1)
    axis = rows.drop_duplicates("end").sort_values("end")
    panel = Panel(
        tuple(wide.index),
        axis.end.to_numpy("M8[ns]"),
        OHLCV,
        values,
        ~np.isnan(values[:, :, 3]),
        axis.date.to_numpy("M8[D]"),
        axis.minute.to_numpy(np.int32),
    )
    own = rows.groupby(["symbol", "date"], sort=False)
    typical = (rows.high + rows.low + rows.close) / 3
    rows["money"] = typical * rows.volume
    expected = {
        "session_return": rows.close / own.open.transform("first") - 1,
        "session_high_distance": rows.close / own.high.cummax() - 1,
        "session_vwap_distance": rows.close
        / (
            rows.groupby(["symbol", "date"]).money.cumsum()
            / rows.groupby(["symbol", "date"]).volume.cumsum()
        )
        - 1,
    }
    actual = compute_features(panel, list(expected))
    late = panel.bar_positions(rows.end.to_numpy())
    symbols = panel.symbol_positions(rows.symbol.to_numpy(object))
    known = panel.session[late] > 0
    assert known.sum() > 200_000
    for i, (name, series) in enumerate(expected.items()):
        np.testing.assert_allclose(
            actual[symbols, late, i][known],
            series.to_numpy()[known],
            rtol=1e-4,
            atol=1e-6,
            err_msg=name,
        )
    surprise = compute_features(panel, ["session_volume_surprise_20"])[..., 0]
    settled = panel.tradable & (panel.session > 20)
    assert np.isfinite(surprise[settled]).mean() > 0.9
    assert abs(np.nanmedian(surprise[settled])) < 0.5
