"""Factors of coarser bars: right values, and never before the coarse bar has ended."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranking_pipeline.errors import UserError
from ranking_pipeline.features import compute_features, timeframes
from ranking_pipeline.features.factors import FACTORS
from ranking_pipeline.features.timeframes import (
    coarse_values,
    fine_lookback_bars,
    parse_name,
)
from ranking_pipeline.panel import Panel

N_SESSIONS, BARS_OF_DAY = 12, 13  # 65 minutes: the last quarter of an hour is cut
CASES = [
    (("ret_1", "ret_2", "vol_5", "rank_ret_1"), "15m"),
    (("ret_1", "average_distance_5"), "30m"),
    (("ret_1", "body_1", "average_distance_5"), "1h"),
    (("ret_1", "gap_1", "ret_2"), "1d"),
]


@pytest.fixture(scope="module")
def panel(panel_builder: Callable[..., Panel]) -> Panel:
    """5-minute bars; one session stops early, one lacks its first bars."""
    bars = np.tile(np.arange(1, BARS_OF_DAY + 1), N_SESSIONS)
    number = np.repeat(np.arange(N_SESSIONS), BARS_OF_DAY)
    kept = ~((number == 4) & (bars > 5)) & ~((number == 7) & (bars <= 2))
    bars, number = bars[kept], number[kept]
    days = pd.bdate_range("2024-03-07", periods=N_SESSIONS).to_numpy("M8[D]")[number]
    walk = panel_builder(6, 6, len(bars))
    return dataclasses.replace(
        walk,
        timestamps=days.astype("M8[ns]") + (5 * bars + 870).astype("m8[m]"),
        trading_dates=days,
        session_minutes=(5 * bars).astype(np.int32),
    )


def _same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return np.ascontiguousarray(a).tobytes() == np.ascontiguousarray(b).tobytes()


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("ret_5", ("ret_5", None)),
        ("ret_5@1h", ("ret_5", "1h")),
        ("vol_20@1d", ("vol_20", "1d")),
        ("rank_ret_1@30m", ("rank_ret_1", "30m")),
    ],
)
def test_names_are_split(name: str, parts: tuple[str, str | None]) -> None:
    assert parse_name(name) == parts


@pytest.mark.parametrize("name", ["ret_5@", "ret_5@2d", "ret_5@1h@1d", "ret_5@0m"])
def test_what_is_no_interval_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=f"features.factors: '{name}'"):
        parse_name(name)


def test_bars_that_are_not_longer_are_refused(panel: Panel) -> None:
    with pytest.raises(UserError, match="ret_1@5m asks for bars that are no longer"):
        coarse_values(panel, ["ret_1"], "5m")


def _coarse_closes(panel: Panel, symbol: int, minutes: int) -> pd.DataFrame:
    """Closes of the coarse bars of one symbol, and when each of them has ended."""
    rows = pd.DataFrame(
        {
            "session": panel.session,
            "number": -(-panel.session_minutes // minutes),
            "opening": panel.timestamps - panel.session_minutes.astype("m8[m]"),
            "close": panel.field("close")[symbol].astype(float),
        }
    )
    coarse = rows.groupby(["session", "number"]).agg(
        opening=("opening", "first"), close=("close", "last")
    )
    numbers = coarse.index.get_level_values("number").to_numpy()
    coarse["end"] = coarse.opening + pd.to_timedelta(minutes * numbers, unit="m")
    return coarse.reset_index(drop=True)


@pytest.mark.parametrize(("interval", "minutes"), [("15m", 15), ("1h", 60)])
def test_the_return_of_the_last_ended_coarse_bar(
    interval: str, minutes: int, panel: Panel
) -> None:
    actual = coarse_values(panel, ["ret_1"], interval)[:, :, 0]
    close = panel.field("close")
    seen = 0
    for symbol in range(panel.n_symbols):
        coarse = _coarse_closes(panel, symbol, minutes)
        coarse["ret"] = coarse.close / coarse.close.shift(1) - 1
        coarse.loc[1, "ret"] = np.nan  # the first coarse bar may have begun before
        for bar in range(panel.n_bars):
            ended = coarse[coarse.end <= panel.timestamps[bar]]
            expected = ended.ret.iloc[-1] if len(ended) else np.nan
            if np.isnan(close[symbol, bar]):
                expected = np.nan
            np.testing.assert_allclose(
                actual[symbol, bar], expected, rtol=1e-5, atol=1e-9
            )
            seen += np.isfinite(expected)
    assert seen > 400


def test_a_daily_bar_is_known_from_the_next_session_on(panel: Panel) -> None:
    actual = coarse_values(panel, ["ret_1"], "1d")[5, :, 0]
    last = np.flatnonzero(np.diff(panel.session, append=99))
    closes = panel.field("close")[5, last].astype(float)
    for bar in range(panel.n_bars):
        session = panel.session[bar]
        if session < 3:  # the first daily bar is left out, and a return needs two
            assert np.isnan(actual[bar])
        else:
            expected = closes[session - 1] / closes[session - 2] - 1
            np.testing.assert_allclose(actual[bar], expected, rtol=1e-4)


def _changed_by_the_future(panel: Panel, names: tuple[str, ...], interval: str) -> int:
    """Count the bars whose values move when later bars are cut off or altered."""
    whole = coarse_values(panel, names, interval)
    rng = np.random.default_rng(1)
    changed = 0
    for last in range(1, panel.n_bars):
        values = panel.values.copy()
        values[:, last:] *= rng.uniform(2, 9, values[:, last:].shape)
        altered = dataclasses.replace(panel, values=values)
        moved = [
            not _same_bits(
                coarse_values(other, names, interval)[:, :last], whole[:, :last]
            )
            for other in (panel.cut(slice(0, last)), altered)
        ]
        changed += any(moved)
    return changed


@pytest.mark.parametrize(("names", "interval"), CASES)
def test_no_later_bar_changes_anything(
    names: tuple[str, ...], interval: str, panel: Panel
) -> None:
    assert np.isfinite(coarse_values(panel, names, interval)).any(axis=(0, 1)).all()
    assert _changed_by_the_future(panel, names, interval) == 0


@pytest.mark.parametrize(("names", "interval"), CASES)
def test_a_premature_use_is_caught(
    names: tuple[str, ...],
    interval: str,
    panel: Panel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    honest = timeframes.last_ended

    def premature(timestamps: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """The coarse bar that is still running, as a join on its start would give."""
        return np.minimum(honest(timestamps, ends) + 1, len(ends) - 1)

    monkeypatch.setattr(timeframes, "last_ended", premature)
    assert _changed_by_the_future(panel, names, interval) > panel.n_bars // 3


@settings(max_examples=15, deadline=None)
@given(start=st.integers(1, 100))
def test_a_later_start_leaves_the_same_bits_after_the_lookback(
    start: int, panel: Panel
) -> None:
    for names, interval in CASES:
        whole = coarse_values(panel, names, interval)
        late = coarse_values(panel.cut(slice(start, None)), names, interval)
        for i, name in enumerate(names):
            lookback = fine_lookback_bars(panel, FACTORS[name].lookback_bars, interval)
            assert _same_bits(late[:, lookback:, i], whole[:, start + lookback :, i])


def test_the_lookback_in_fine_bars(panel: Panel) -> None:
    """Hand-counted: the bars that run, the coarse bar before them, one bar more.

    Ten minutes into a quarter of an hour two bars have run (back to t-1), the quarter
    before holds three (back to t-4), and the bar before it shows where it began.
    """
    assert fine_lookback_bars(panel, 0, "15m") == 5
    assert fine_lookback_bars(panel, 0, "1d") == 2 * BARS_OF_DAY
    assert fine_lookback_bars(panel, 50, "1d") == panel.n_bars


def test_hourly_returns_of_half_hour_bars_are_those_over_two(
    panel_builder: Callable[..., Panel],
) -> None:
    walk = panel_builder(1, 5, 60, holes=False)
    minutes = np.tile(np.array([30, 60], np.int32), 30)
    days = np.repeat(np.arange("2024-01-01", "2024-01-31", dtype="M8[D]"), 2)
    half_hours = dataclasses.replace(
        walk,
        timestamps=days.astype("M8[ns]") + minutes.astype("m8[m]"),
        trading_dates=days,
        session_minutes=minutes,
    )
    hourly = coarse_values(half_hours, ["ret_1"], "1h")[:, :, 0]
    every_second = compute_features(half_hours, ["ret_2"])[:, :, 0]
    np.testing.assert_allclose(hourly[:, 5::2], every_second[:, 5::2], rtol=1e-6)
    np.testing.assert_array_equal(hourly[:, 6::2], hourly[:, 5:-1:2])
