"""Coarser bars: by hand, against a plain reference, and over real bars."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranking_pipeline.bars.calendar import sessions_between
from ranking_pipeline.bars.config import DataConfig
from ranking_pipeline.bars.interval import interval_minutes
from ranking_pipeline.bars.resampling import bucket_of, resample_panel
from ranking_pipeline.errors import UserError
from ranking_pipeline.panel import OHLCV, Panel

from .conftest import CHECKS, MARKET

MINUTE = np.timedelta64(1, "m")
NAN = float("nan")


def make_panel(
    opens: list[str], minutes: list[list[int]], values: np.ndarray | None = None
) -> Panel:
    """Bars that end ``minutes`` after the opens of sessions; one symbol unless given."""
    stamps = [
        np.datetime64(clock, "ns") + np.timedelta64(minute, "m")
        for clock, own in zip(opens, minutes, strict=True)
        for minute in own
    ]
    dates = [np.datetime64(clock[:10], "D") for clock in opens]
    since = np.concatenate([np.array(own, dtype=np.int32) for own in minutes])
    n = len(stamps)
    if values is None:
        base = np.arange(n, dtype=np.float32)
        rows = np.stack([base, base + 2, base - 2, base + 1, base * 10], axis=-1)
        values = rows[None]
    values = values.astype(np.float32)
    return Panel(
        symbols=tuple(f"S{i:02}" for i in range(len(values))),
        timestamps=np.array(stamps, dtype="M8[ns]"),
        fields=OHLCV,
        values=values,
        tradable=~np.isnan(values[:, :, 3]),
        trading_dates=np.repeat(dates, [len(own) for own in minutes]),
        session_minutes=since,
    )


TWO_DAYS = (["2024-07-02T13:30", "2024-07-03T13:30"], [[1, 4, 5, 6, 17], [5, 6, 210]])


def test_buckets_by_hand() -> None:
    bucket, ends = bucket_of(make_panel(*TWO_DAYS), "5m")
    assert bucket.tolist() == [0, 0, 0, 1, 2, 3, 4, 5]
    assert [str(end.astype("M8[m]")) for end in ends] == [
        "2024-07-02T13:35",
        "2024-07-02T13:40",
        "2024-07-02T13:50",
        "2024-07-03T13:35",
        "2024-07-03T13:40",
        "2024-07-03T17:00",
    ]
    assert bucket.dtype == np.int32
    assert ends.dtype == np.dtype("M8[ns]")


def test_values_by_hand() -> None:
    panel = make_panel(*TWO_DAYS)
    panel.values[0, 0] = NAN
    coarse = resample_panel(
        replace(panel, tradable=np.array([[0, 0, 1, 1, 0, 1, 1, 1]], dtype=bool)), "5m"
    )
    expected = [
        [1, 4, -1, 3, 30],  # the bars 1 and 2; bar 0 is missing
        [3, 5, 1, 4, 30],
        [4, 6, 2, 5, 40],
        [5, 7, 3, 6, 50],
        [6, 8, 4, 7, 60],
        [7, 9, 5, 8, 70],
    ]
    np.testing.assert_array_equal(coarse.values[0], np.array(expected, np.float32))
    assert coarse.tradable[0].tolist() == [True, True, False, True, True, True]
    assert coarse.session_minutes.tolist() == [5, 10, 20, 5, 10, 210]
    assert (
        coarse.trading_dates.astype(str).tolist()
        == ["2024-07-02"] * 3 + ["2024-07-03"] * 3
    )


def test_days_end_at_the_close_where_it_is_known() -> None:
    panel = make_panel(*TWO_DAYS)
    sessions = sessions_between("XNYS", *panel.trading_dates[[0, -1]])
    coarse = resample_panel(panel, "1d", sessions)
    assert coarse.timestamps.astype("M8[m]").astype(str).tolist() == [
        "2024-07-02T20:00",
        "2024-07-03T17:00",
    ]
    assert coarse.session_minutes.tolist() == [390, 210]
    np.testing.assert_array_equal(coarse.values[0, 0], [0, 6, -2, 5, 100])
    hour = resample_panel(panel, "4h", sessions)
    assert hour.session_minutes.tolist() == [240, 210]


def test_days_end_a_day_after_the_open_where_no_close_is_known() -> None:
    coarse = resample_panel(make_panel(*TWO_DAYS), "1d")
    assert coarse.timestamps.astype("M8[m]").astype(str).tolist() == [
        "2024-07-03T13:30",
        "2024-07-04T13:30",
    ]


def test_bars_before_the_open_keep_to_themselves() -> None:
    panel = make_panel(["2024-07-02T13:30"], [[-7, -4, 0, 1, 5]])
    bucket, ends = bucket_of(panel, "5m")
    assert bucket.tolist() == [0, 1, 1, 2, 2]
    since = (ends - np.datetime64("2024-07-02T13:30", "ns")) // MINUTE
    assert since.tolist() == [-5, 0, 5]


def test_bars_after_the_close_are_refused() -> None:
    panel = make_panel(["2024-07-03T13:30"], [[5, 215]])
    sessions = sessions_between("XNYS", *panel.trading_dates[[0, -1]])
    with pytest.raises(UserError, match="after the close of XNYS"):
        bucket_of(panel, "1h", sessions)
    other = sessions_between(
        "XNYS", np.datetime64("2024-07-05"), np.datetime64("2024-07-09")
    )
    assert bucket_of(panel, "1h", other)[0].tolist() == [0, 1]


def test_sectors_travel() -> None:
    panel = make_panel(*TWO_DAYS)
    sectors = np.array([[0, 0, 0, 0, 0, 1, 1, 1]], dtype=np.int16)
    panel = replace(panel, sectors=sectors, sector_names=("Energy", "Utilities"))
    coarse = resample_panel(panel, "1d")
    assert coarse.sectors.tolist() == [[0, 1]]
    assert coarse.sector_names == panel.sector_names


def test_a_missing_volume_stays_missing() -> None:
    panel = make_panel(["2024-07-02T13:30"], [[1, 2, 6]])
    panel.values[0, 1, 4] = NAN
    np.testing.assert_array_equal(
        resample_panel(panel, "5m").values[0, :, 4], [NAN, 20.0]
    )


def test_no_bars_stay_no_bars() -> None:
    empty = make_panel(*TWO_DAYS).cut(slice(0, 0))
    assert resample_panel(empty, "5m").values.shape == (1, 0, 5)


@pytest.mark.parametrize("interval", ["", "5", "0m", "05m", "1w", "2d", "24h", "5M"])
def test_unknown_intervals_are_refused(interval: str) -> None:
    with pytest.raises(UserError, match="not the length of a bar"):
        bucket_of(make_panel(*TWO_DAYS), interval)


def test_lengths() -> None:
    assert [interval_minutes(text) for text in ("1m", "30m", "4h", "1d")] == [
        1,
        30,
        240,
        1440,
    ]


def _data(**changes: Any) -> DataConfig:
    section = {"source": "bars.parquet", "sectors": None, "universe": None}
    return DataConfig(**(CHECKS | {"market": MARKET} | section | changes))


def test_bars_may_be_finer_in_the_source() -> None:
    data = _data(interval="30m", source_interval="5m", calendar="XNYS")
    assert data.bar_length.seconds == 1800
    assert data.of_source().bar_length.seconds == 300
    same = _data(source_interval=None)
    assert same.of_source() is same
    assert _data(source_interval="1h").of_source().interval == "1h"
    market = MARKET | {"interval": "1m"}
    changes = {"source": "simulated", "interval": "5m", "source_interval": "1m"}
    assert _data(**changes, market=market).market.interval == "1m"
    with pytest.raises(ValueError, match="source_interval is '1m' but market"):
        _data(**changes)


@pytest.mark.parametrize(
    ("source_interval", "interval", "message"),
    [
        ("5m", "5m", "must be shorter"),
        ("1h", "5m", "must be shorter"),
        ("1d", "1h", "must be shorter"),
        ("2m", "5m", "divide it"),
        ("5 min", "1h", "source_interval: '5 min' is not the length"),
        ("1m", "5m", "set calendar"),
    ],
)
def test_unfit_intervals_of_the_source_are_refused(
    source_interval: str, interval: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        _data(interval=interval, source_interval=source_interval)


def _slow_resample(
    panel: Panel, length: int
) -> dict[tuple[str, int], list[list[float]]]:
    """(date, bucket) -> one bar per symbol, bar by bar."""
    coarse: dict[tuple[str, int], list[list[float]]] = {}
    for t in range(panel.n_bars):
        number = 0 if length == 1440 else int(-(-panel.session_minutes[t] // length))
        key = (str(panel.trading_dates[t]), number)
        bars = coarse.setdefault(key, [[NAN] * 5 for _ in panel.symbols])
        for s in range(panel.n_symbols):
            opening, high, low, closing, volume = (float(x) for x in panel.values[s, t])
            if np.isnan(closing):
                continue
            bar = bars[s]
            if np.isnan(bar[3]):
                bars[s] = [opening, high, low, closing, volume]
                continue
            bars[s] = [
                bar[0],
                max(bar[1], high),
                min(bar[2], low),
                closing,
                bar[4] + volume,
            ]
    return coarse


@st.composite
def panels(draw: st.DrawFn) -> Panel:
    n_sessions = draw(st.integers(1, 3))
    minutes = [
        sorted(draw(st.sets(st.integers(-10, 400), min_size=1, max_size=30)))
        for _ in range(n_sessions)
    ]
    opens = [f"2024-07-{2 + i:02}T13:30" for i in range(n_sessions)]
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n_symbols, n_bars = draw(st.integers(1, 40)), sum(map(len, minutes))
    close = 50 + rng.normal(0, 1, (n_symbols, n_bars))
    opening = close + rng.normal(0, 0.3, close.shape)
    high = np.maximum(opening, close) + rng.random(close.shape)
    low = np.minimum(opening, close) - rng.random(close.shape)
    volume = rng.integers(0, 1000, close.shape)
    values = np.stack([opening, high, low, close, volume], axis=-1)
    values[rng.random(close.shape) < 0.4] = NAN
    panel = make_panel(opens, minutes, values)
    doubt = rng.random(close.shape) < 0.7
    return replace(panel, tradable=panel.tradable & doubt)


@settings(max_examples=40, deadline=None)
@given(panel=panels(), interval=st.sampled_from(["1m", "5m", "30m", "1h", "1d"]))
def test_resampling_equals_the_plain_reference(panel: Panel, interval: str) -> None:
    coarse = resample_panel(panel, interval)
    slow = _slow_resample(panel, interval_minutes(interval))
    assert coarse.n_bars == len(slow)
    expected = np.array(list(slow.values())).transpose(1, 0, 2)
    np.testing.assert_array_equal(coarse.values, expected.astype(np.float32))
    dates = [date for date, _ in slow]
    assert coarse.trading_dates.astype(str).tolist() == dates
    bucket, _ = bucket_of(panel, interval)
    for t in range(panel.n_bars):
        assert (coarse.tradable[:, bucket[t]] >= panel.tradable[:, t]).all()
    assert (coarse.tradable.sum(axis=1) <= panel.tradable.sum(axis=1)).all()


@settings(max_examples=40, deadline=None)
@given(panel=panels())
def test_properties_of_coarse_bars(panel: Panel) -> None:
    five = resample_panel(panel, "5m")
    day, through = resample_panel(panel, "1d"), resample_panel(five, "1d")
    np.testing.assert_array_equal(day.values, through.values)
    np.testing.assert_array_equal(day.timestamps, through.timestamps)
    np.testing.assert_array_equal(day.tradable, through.tradable)
    volume = np.nansum(panel.field("volume"), axis=1)
    np.testing.assert_array_equal(np.nansum(five.field("volume"), axis=1), volume)
    here = five.present
    for name in ("open", "low", "close"):
        assert (five.field("high")[here] >= five.field(name)[here]).all()
    assert (five.field("low")[here] <= five.field("open")[here]).all()
    again = resample_panel(five, "5m")
    np.testing.assert_array_equal(again.values, five.values)
    np.testing.assert_array_equal(again.timestamps, five.timestamps)


@settings(max_examples=40, deadline=None)
@given(panel=panels(), interval=st.sampled_from(["5m", "1h", "1d"]), data=st.data())
def test_the_future_changes_no_complete_bucket(
    panel: Panel, interval: str, data: st.DataObject
) -> None:
    cut = data.draw(st.integers(1, panel.n_bars))
    past, whole = panel.cut(slice(0, cut)), resample_panel(panel, interval)
    early = resample_panel(past, interval)
    np.testing.assert_array_equal(early.timestamps, whole.timestamps[: early.n_bars])
    complete = early.timestamps <= past.timestamps[-1]
    n = int(complete.sum())
    assert complete[:n].all()
    # No bucket that ends by now is missing from the shorter panel.
    assert n == (whole.timestamps <= past.timestamps[-1]).sum()
    np.testing.assert_array_equal(early.values[:, :n], whole.values[:, :n])
    np.testing.assert_array_equal(early.tradable[:, :n], whole.tradable[:, :n])


def _real_panel(path: Path, minutes: int) -> Panel:
    """Real bars of 2024 from their START stamps in UTC, sessions of New York."""
    table = pd.read_parquet(path, columns=["symbol", "timestamp", *OHLCV])
    ends = table["timestamp"].to_numpy("M8[ns]") + minutes * MINUTE
    axis, bar = np.unique(ends, return_inverse=True)
    names, symbol = np.unique(table["symbol"].to_numpy(str), return_inverse=True)
    values = np.full((len(names), len(axis), 5), np.nan, np.float32)
    values[symbol, bar] = table[list(OHLCV)].to_numpy(np.float32)
    local = pd.DatetimeIndex(axis - MINUTE, tz="UTC").tz_convert("America/New_York")
    dates = local.tz_localize(None).to_numpy("M8[D]")
    sessions = sessions_between("XNYS", dates[0], dates[-1])
    place = np.searchsorted(sessions.dates, dates)
    assert (sessions.dates[place] == dates).all()
    return Panel(
        symbols=tuple(names.tolist()),
        timestamps=axis,
        fields=OHLCV,
        values=values,
        tradable=~np.isnan(values[:, :, 3]),
        trading_dates=dates,
        session_minutes=((axis - sessions.opens[place]) // MINUTE).astype(np.int32),
    )


@pytest.mark.realdata
def test_real_minutes_make_the_real_five_minute_bars(real_data: Path) -> None:
    fine = _real_panel(real_data / "us_stocks_1min_2024.parquet", 1)
    theirs = _real_panel(real_data / "us_stocks_5min_2024.parquet", 5)
    ours = resample_panel(fine, "5m")
    assert int(fine.present.sum()) == 599_224
    assert int(ours.present.sum()) == 249_271
    np.testing.assert_array_equal(ours.timestamps, theirs.timestamps)
    np.testing.assert_array_equal(ours.session_minutes, theirs.session_minutes)
    np.testing.assert_array_equal(ours.values, theirs.values)
    daily = resample_panel(fine, "1d")
    assert daily.n_bars == 252
    np.testing.assert_array_equal(daily.values, resample_panel(ours, "1d").values)
