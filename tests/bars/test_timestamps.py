"""Stamps: the end of the bar in UTC, whatever the zone, the type and the convention."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from ranking_pipeline.bars.config import ChecksConfig
from ranking_pipeline.bars.timestamps import bar_times
from ranking_pipeline.errors import UserError

Make = Callable[..., ChecksConfig]


def _ends(stamps: object, config: ChecksConfig) -> list[str]:
    times = bar_times(pd.Series(stamps), config, "file")
    return [str(end)[:16] for end in times.end]


def test_a_daily_bar_ends_at_the_next_local_midnight(checks: Make) -> None:
    # New York is 5 hours behind UTC in winter and 4 in summer.
    days = pd.to_datetime(["2024-01-08", "2024-03-08", "2024-03-10", "2024-07-08"])
    assert _ends(days, checks()) == [
        "2024-01-09T05:00",
        "2024-03-09T05:00",
        "2024-03-11T04:00",
        "2024-07-09T04:00",
    ]


def test_a_midnight_that_does_not_exist_is_moved_on(checks: Make) -> None:
    # Clocks in Beirut went from 00:00 to 01:00 on 2022-03-27, at 22:00 UTC.
    config = checks(timezone="Asia/Beirut")
    assert _ends(["2022-03-26"], config) == ["2022-03-26T22:00"]


def test_the_zone_of_a_stamp_wins_over_the_configured_one(checks: Make) -> None:
    utc = pd.to_datetime(["2024-01-08"], utc=True)
    assert _ends(utc, checks()) == ["2024-01-09T00:00"]
    assert _ends(utc, checks(timezone=None)) == ["2024-01-09T00:00"]


def test_midnights_of_the_configured_zone_stored_in_utc(checks: Make) -> None:
    # Midnight of Monday the 8th in Tokyo is 15:00 UTC of Sunday the 7th.
    stamps = pd.to_datetime(["2024-01-07 15:00"], utc=True)
    times = bar_times(pd.Series(stamps), checks(timezone="Asia/Tokyo"), "file")
    assert str(times.end[0])[:16] == "2024-01-08T15:00"
    assert str(times.trading_date[0])[:10] == "2024-01-08"


def test_stamps_that_name_the_end_stay(checks: Make) -> None:
    config = checks(bar_stamp="end")
    times = bar_times(pd.Series(pd.to_datetime(["2024-01-09 00:00"])), config, "file")
    assert str(times.end[0])[:16] == "2024-01-09T05:00"
    assert str(times.trading_date[0])[:10] == "2024-01-08"
    assert _ends(["2024-01-08 16:00"], config) == ["2024-01-08T21:00"]


def test_intraday_bars_end_one_interval_later(checks: Make) -> None:
    stamps = ["2024-01-08 09:30", "2024-07-08 09:30"]
    assert _ends(stamps, checks(interval="5m")) == [
        "2024-01-08T14:35",
        "2024-07-08T13:35",
    ]
    assert _ends(stamps[:1], checks(interval="1h")) == ["2024-01-08T15:30"]
    config = checks(interval="5m", bar_stamp="end")
    assert _ends(stamps[:1], config) == ["2024-01-08T14:30"]


def test_local_times_skipped_or_repeated_cannot_be_read(checks: Make) -> None:
    stamps = ["2024-03-10 02:30", "2024-11-03 01:30", "2024-11-03 03:30"]
    assert _ends(stamps, checks(interval="5m")) == ["NaT", "NaT", "2024-11-03T08:35"]


@pytest.mark.parametrize(
    ("stamps", "changes", "end"),
    [
        (["2024-01-08T09:30:00-05:00"], {}, "2024-01-08T14:35"),
        (["2024-01-08 14:30Z"], {"timezone": None}, "2024-01-08T14:35"),
        (["2024-01-08 14:30:00+00:00"], {"timezone": None}, "2024-01-08T14:35"),
        (
            ["08/01/2024 09:30"],
            {"timestamp_format": "%d/%m/%Y %H:%M"},
            "2024-01-08T14:35",
        ),
        ([1704724200], {"timestamp_format": "unix_s"}, "2024-01-08T14:35"),
        (["1704724200000"], {"timestamp_format": "unix_ms"}, "2024-01-08T14:35"),
        ([202401080930], {"timestamp_format": "%Y%m%d%H%M"}, "2024-01-08T14:35"),
    ],
)
def test_forms_of_stamps(
    checks: Make, stamps: list[object], changes: dict[str, object], end: str
) -> None:
    assert _ends(stamps, checks(interval="5m", **changes)) == [end]


def test_other_types_of_stamps(checks: Make) -> None:
    date = pd.Timestamp("2024-01-08").date()
    assert _ends(pd.Series([date], dtype=object), checks()) == ["2024-01-09T05:00"]
    for unit in ("s", "ms", "us", "ns"):
        stamps = np.array(["2024-01-08"], dtype=f"datetime64[{unit}]")
        assert _ends(stamps, checks()) == ["2024-01-09T05:00"]
    mixed = [
        pd.Timestamp("2024-01-08 09:30", tz="America/New_York"),
        pd.Timestamp("2024-01-08 23:30", tz="Asia/Tokyo"),
    ]
    config = checks(interval="5m", timezone=None)
    assert _ends(pd.Series(mixed, dtype=object), config) == ["2024-01-08T14:35"] * 2


@pytest.mark.parametrize("zone", ["-05:00", "UTC-05:00", "EST", "US/Eastern"])
def test_zones_of_any_spelling(checks: Make, zone: str) -> None:
    stamps = pd.to_datetime(["2024-01-08"]).tz_localize(zone)
    assert _ends(stamps, checks(timezone=None)) == ["2024-01-09T05:00"]


def test_what_cannot_be_read_is_not_guessed(checks: Make) -> None:
    stamps = ["2024-01-08", "soon", None, "2024-13-40", "9999-01-01"]
    assert _ends(stamps, checks()) == ["2024-01-09T05:00", *["NaT"] * 4]


def test_mixed_and_missing_zones_are_refused(checks: Make) -> None:
    with pytest.raises(UserError, match="some timestamps carry a time zone"):
        _ends(["2024-01-08 09:30Z", "2024-01-08 09:35"], checks(interval="5m"))
    with pytest.raises(UserError, match=r"file: .*2024-01-08.*data\.timezone"):
        _ends(["2024-01-08"], checks(timezone=None))
