"""Sessions of exchanges against facts known by hand."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranking_pipeline.bars.calendar import (
    INSTANT,
    Sessions,
    cut_at_close,
    locate,
    sessions_between,
)
from ranking_pipeline.errors import UserError

FIVE = np.timedelta64(5, "m")
HOUR = np.timedelta64(1, "h")


def day(text: str) -> np.datetime64:
    return np.datetime64(text, "D")


def at(*texts: str) -> np.ndarray:
    return np.array(texts, dtype="M8[ns]")


def hours(name: str, date: str) -> tuple[str, str]:
    sessions = sessions_between(name, day(date), day(date))
    assert sessions.dates.tolist() == [day(date).item()]
    clock = (sessions.opens[0], sessions.closes[0])
    return tuple(str(instant.astype("M8[m]")) for instant in clock)  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("name", "date", "opens", "closes"),
    [
        # Winter, then summer time: the wall clock of New York stands still.
        ("XNYS", "2024-03-08", "2024-03-08T14:30", "2024-03-08T21:00"),
        ("XNYS", "2024-03-11", "2024-03-11T13:30", "2024-03-11T20:00"),
        ("XNYS", "2024-11-04", "2024-11-04T14:30", "2024-11-04T21:00"),
        # Early closes at 13:00: before Independence Day, after Thanksgiving.
        ("XNYS", "2024-07-03", "2024-07-03T13:30", "2024-07-03T17:00"),
        ("XNYS", "2024-11-29", "2024-11-29T14:30", "2024-11-29T18:00"),
        ("XLON", "2024-01-02", "2024-01-02T08:00", "2024-01-02T16:30"),
        ("XLON", "2024-12-24", "2024-12-24T08:00", "2024-12-24T12:30"),
        # Tokyo trades to 15:00 before 2024-11-05 and to 15:30 since.
        ("XTKS", "2024-01-04", "2024-01-04T00:00", "2024-01-04T06:00"),
        ("XTKS", "2024-12-04", "2024-12-04T00:00", "2024-12-04T06:30"),
        ("24/7", "2024-01-06", "2024-01-06T00:00", "2024-01-07T00:00"),
        # Chicago futures open on the evening before their trading date.
        ("CMES", "2024-01-03", "2024-01-02T23:00", "2024-01-03T23:00"),
        ("NYSE", "2024-03-11", "2024-03-11T13:30", "2024-03-11T20:00"),
    ],
)
def test_hours(name: str, date: str, opens: str, closes: str) -> None:
    assert hours(name, date) == (opens, closes)


@pytest.mark.parametrize(
    ("name", "date"),
    [
        ("XNYS", "2018-12-05"),  # mourning of George H. W. Bush
        ("XNYS", "2024-03-29"),  # Good Friday
        ("XNYS", "2024-07-06"),  # a Saturday
        ("XLON", "2022-09-19"),  # funeral of Elizabeth II
        ("XTKS", "2019-05-01"),  # accession of Naruhito
    ],
)
def test_closed_dates_have_no_session(name: str, date: str) -> None:
    sessions = sessions_between(name, day(date), day(date))
    assert len(sessions.dates) == len(sessions.opens) == len(sessions.closes) == 0


def test_years_of_sessions() -> None:
    year = sessions_between("XNYS", day("2024-01-01"), day("2024-12-31"))
    assert len(year.dates) == 252
    assert year.dates.dtype == np.dtype("M8[D]")
    assert year.opens.dtype == year.closes.dtype == np.dtype("M8[ns]")
    assert (year.opens < year.closes).all()
    assert (year.closes[:-1] <= year.opens[1:]).all()
    assert ((year.closes - year.opens) // HOUR == 6).sum() == 249
    old = sessions_between("XNYS", day("1990-12-20"), day("1991-01-03"))
    assert str(old.dates[0]) == "1990-12-20"
    assert len(old.dates) == 9


def test_a_bar_lies_between_open_and_close() -> None:
    sessions = sessions_between("XNYS", day("2024-07-02"), day("2024-07-05"))
    ends = at(
        "2024-07-02T13:30",  # 13:25 to 13:30, before the open
        "2024-07-02T13:34",  # begins before the open
        "2024-07-02T13:35",
        "2024-07-02T20:00",
        "2024-07-02T20:01",
        "2024-07-03T17:00",  # the early close
        "2024-07-03T17:05",
        "2024-07-04T15:00",  # a holiday
        "2024-07-05T13:35",
        "2024-07-08T13:35",  # after the last session asked for
        "2024-07-01T13:35",
        "NaT",
    )
    index, minutes = locate(ends, sessions, FIVE)
    assert index.tolist() == [-1, -1, 0, 0, -1, 1, -1, -1, 2, -1, -1, -1]
    assert minutes.tolist() == [-1, -1, 5, 390, -1, 210, -1, -1, 5, -1, -1, -1]
    assert index.dtype == minutes.dtype == np.int32
    loose, since = locate(ends[:3], sessions)
    assert loose.tolist() == [-1, 0, 0]
    assert since.tolist() == [-1, 4, 5]


def test_a_break_at_noon_lies_within_its_session() -> None:
    sessions = sessions_between("XTKS", day("2024-01-04"), day("2024-01-04"))
    index, minutes = locate(at("2024-01-04T02:30", "2024-01-04T03:35"), sessions, FIVE)
    assert index.tolist() == [0, 0]
    assert minutes.tolist() == [150, 215]


def test_sessions_without_rest_meet_at_midnight() -> None:
    sessions = sessions_between("24/7", day("2024-01-06"), day("2024-01-07"))
    ends = at("2024-01-06T00:00", "2024-01-07T00:00", "2024-01-07T00:05")
    index, minutes = locate(ends, sessions, FIVE)
    assert index.tolist() == [-1, 0, 1]
    assert minutes.tolist() == [-1, 1440, 5]


def test_no_sessions_hold_no_bar() -> None:
    nothing = sessions_between("XNYS", day("2024-07-06"), day("2024-07-07"))
    assert locate(at("2024-07-06T15:00"), nothing)[0].tolist() == [-1]
    ends = at("2024-07-06T15:00")
    np.testing.assert_array_equal(cut_at_close(ends, nothing, HOUR), ends)


def test_the_last_bar_ends_at_the_close() -> None:
    sessions = sessions_between("XNYS", day("2024-07-02"), day("2024-07-03"))
    ends = at(
        "2024-07-02T19:30",
        "2024-07-02T20:30",
        "2024-07-02T21:00",
        "2024-07-03T17:30",
        "2024-07-04T17:30",
    )
    cut = cut_at_close(ends, sessions, HOUR)
    expected = ends.copy()
    expected[1], expected[3] = at("2024-07-02T20:00", "2024-07-03T17:00")
    np.testing.assert_array_equal(cut, expected)


def _slow_locate(
    end: np.datetime64, sessions: Sessions, length: np.timedelta64
) -> tuple[int, int]:
    for i, (opens, closes) in enumerate(
        zip(sessions.opens, sessions.closes, strict=True)
    ):
        if opens <= end - length and end <= closes:
            return i, int((end - opens) / np.timedelta64(1, "m"))
    return -1, -1


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(["XNYS", "24/7", "CMES", "XTKS"]),
    minutes=st.lists(st.integers(-600, 15 * 1440), min_size=1, max_size=20),
    length=st.sampled_from([INSTANT, np.timedelta64(1, "m"), FIVE, HOUR]),
)
def test_locate_equals_a_search_through_all(
    name: str, minutes: list[int], length: np.timedelta64
) -> None:
    sessions = sessions_between(name, day("2024-07-01"), day("2024-07-14"))
    ends = at("2024-07-01") + np.array(minutes) * np.timedelta64(60_000_000_000, "ns")
    index, since = locate(ends, sessions, length)
    expected = [_slow_locate(end, sessions, length) for end in ends]
    assert list(zip(index.tolist(), since.tolist(), strict=True)) == expected


def test_unknown_names_are_answered_with_near_ones() -> None:
    for name, near in (("xnys", "XNYS"), ("XNYX", "XNYS"), ("NYSEE", "NYSE")):
        with pytest.raises(UserError, match=rf"{name!r}.*{near}"):
            sessions_between(name, day("2024-01-01"), day("2024-01-31"))
    with pytest.raises(UserError, match="XLON"):
        sessions_between("of my own", day("2024-01-01"), day("2024-01-31"))


def test_dates_beyond_the_records_are_refused() -> None:
    with pytest.raises(UserError, match="XTKS records the dates 1997-01-01"):
        sessions_between("XTKS", day("1996-12-01"), day("1997-02-01"))
    with pytest.raises(UserError, match="first_date"):
        sessions_between("XTKS", day("1990-12-01"), day("1991-02-01"))
    with pytest.raises(UserError, match="to 2049-12-31"):
        sessions_between("XHKG", day("2049-12-01"), day("2050-02-01"))


def test_the_package_loads_only_when_asked() -> None:
    code = (
        "import sys; import ranking_pipeline.bars.calendar; "
        "sys.exit('exchange_calendars' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
