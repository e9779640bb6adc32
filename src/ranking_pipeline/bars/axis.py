"""TimeAxis: the bars of a universe in the order of time, and what each stamp means."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.bars.calendar import Sessions, cut_at_close, locate
from ranking_pipeline.bars.config import ChecksConfig
from ranking_pipeline.bars.rules import RULE_CODE, UNSELECTED
from ranking_pipeline.bars.timestamps import BarTimes, bar_times
from ranking_pipeline.errors import UserError

Dates = npt.NDArray[np.datetime64]
Mask = npt.NDArray[np.bool_]
Minutes = npt.NDArray[np.int32]

_DAY = np.timedelta64(1, "D")
# A bar outside the session shares the date of the session that opens at most so long
# after it, or opened less than so long before it; together they make a day.
_BEFORE_OPEN, _AFTER_OPEN = np.timedelta64(10, "h"), np.timedelta64(14, "h")
_FRIDAY = 4
# Stamps contradict the declaration when fewer sessions than FEW have one where it
# should be, and at least MANY have one where it cannot be.
_FEW, _MANY = 0.05, 0.5
# A session's first and last bars are among its busiest: the zone is wrong where one has
# fewer rows than BUSY of the usual ones and than QUIET of those at the other one, beyond
# which trade goes on. With fewer than ENOUGH rows to expect there, that may be chance.
_QUIET, _BUSY, _ENOUGH = 0.25, 0.5, 20


@dataclass(frozen=True)
class TimeAxis:
    """The common time axis of T bars, and the place on it of each of U stamps.

    Attributes
    ----------
    ends : ndarray of datetime64[ns], shape (T,)
        END of each bar in UTC, strictly increasing.
    trading_dates : ndarray of datetime64[D], shape (T,)
        Date of the session, or the local date on which the bar ends.
    session_minutes : ndarray of int32, shape (T,)
        Minutes from the opening of the session; without a calendar, from the start of
        the first bar of the date.
    off_grid : ndarray of bool, shape (T,)
        Intraday bars that do not end on a whole multiple of their length.
    bar_of_stamp : ndarray of int32, shape (U + 1,)
        Bar of each distinct stamp, -1 where it has none; last, of a missing stamp.
    verdict_of_stamp : ndarray of int8, shape (U + 1,)
        Rule that a row with this stamp breaks; 0 = none, UNSELECTED = not asked for.
    zone : str
        Zone in which dates are counted.
    """

    ends: Dates
    trading_dates: Dates
    session_minutes: Minutes
    off_grid: Mask
    bar_of_stamp: npt.NDArray[np.int32]
    verdict_of_stamp: npt.NDArray[np.int8]
    zone: str


@dataclass(frozen=True)
class _Placed:
    """Stamps with their session: a bar may lie inside it, or only on its date."""

    dates: Dates
    minutes: Minutes
    on_session_date: Mask
    inside: Mask
    off_grid: Mask
    ends: Dates


def read_axis(
    stamps: pd.Series,
    config: ChecksConfig,
    where: str,
    *,
    counts: npt.NDArray[np.integer],
    now: pd.Timestamp | None,
    sessions: Sessions | None,
) -> TimeAxis:
    """Make the time axis of the distinct stamps of a source.

    Parameters
    ----------
    stamps : Series, shape (U,)
        Distinct stamps as the source writes them.
    config
        How stamps are read, and what becomes of dates without trading.
    where
        Name of the source, for messages.
    counts : ndarray of int, shape (U,)
        Rows of each stamp.
    now
        Bars that start later are refused; None leaves the rule out.
    sessions
        Sessions of the exchange. None takes those of ``config.calendar``, and without
        one every local date is a session.

    Raises
    ------
    UserError
        As :func:`~ranking_pipeline.bars.timestamps.bar_times`; the calendar is unknown;
        or ``data.bar_stamp`` or ``data.timezone`` contradicts the sessions.
    """
    times = bar_times(stamps, config, where)
    by_calendar = sessions is not None or config.calendar is not None
    verdict = np.append(_time_verdicts(times, config, now, by_calendar), np.int8(0))
    verdict[-1] = RULE_CODE["unreadable_timestamp"]
    missing = np.datetime64("NaT", "ns")
    ends = np.append(times.end, missing)
    dates = np.append(times.trading_date, missing).astype("M8[D]")
    if sessions is None and config.calendar is not None:
        sessions = _sessions_of(config.calendar, dates[verdict == 0])
    if sessions is None:
        placed = _without_sessions(ends, dates, config)
    else:
        sound = np.flatnonzero(verdict[:-1] == 0)
        _check_stamps(ends[sound], sessions, config)
        _check_zone(ends[sound], counts[sound], sessions, config)
        placed = _place(ends, dates, sessions, config)
        _judge_sessions(placed, verdict, config)
    return _axis(placed, verdict, times.zone, config.bar_length)


def _time_verdicts(
    times: BarTimes, config: ChecksConfig, now: pd.Timestamp | None, by_calendar: bool
) -> npt.NDArray[np.int8]:
    """Verdict of each stamp by the rules that need no sessions."""
    end, date = times.end, times.trading_date
    verdict = np.zeros(len(end), dtype=np.int8)
    unknown = np.isnat(end)
    verdict[unknown] = RULE_CODE["unreadable_timestamp"]
    if config.daily and not by_calendar and config.defects.weekends == "quarantine":
        verdict[~unknown & (_weekday(date) > _FRIDAY)] = RULE_CODE["weekend_bar"]
    if now is not None and config.defects.future_bars == "quarantine":
        latest = now.tz_convert("UTC").tz_localize(None) + config.bar_length
        late = ~unknown & (end > latest.to_datetime64())
        verdict[late] = RULE_CODE["future_timestamp"]
    if config.first_date is not None:
        verdict[date < np.datetime64(config.first_date)] = UNSELECTED
    if config.last_date is not None:
        verdict[date > np.datetime64(config.last_date)] = UNSELECTED
    return verdict


def _weekday(dates: Dates) -> npt.NDArray[np.int64]:
    """Monday is 0; the first day of 1970 was a Thursday."""
    return np.asarray((dates.astype("M8[D]").astype(np.int64) + 3) % 7)


def _sessions_of(calendar: str, dates: Dates) -> Sessions | None:
    from ranking_pipeline.bars.calendar import sessions_between

    if not len(dates):
        return None
    # An evening session belongs to the next date, so that one more day is needed.
    sessions = sessions_between(calendar, dates.min() - _DAY, dates.max() + _DAY)
    if not len(sessions.dates):
        raise UserError(
            f"data.calendar: {calendar} has no session from {dates.min()} to "
            f"{dates.max()}. Correct data.calendar or data.timezone, or set it to null."
        )
    return sessions


def _without_sessions(ends: Dates, dates: Dates, config: ChecksConfig) -> _Placed:
    everywhere = np.ones(len(ends), dtype=bool)
    off_grid = np.zeros(len(ends), dtype=bool)
    if not config.daily:
        off_grid = ends.view("i8") % config.bar_length.value != 0
    nothing = np.empty(0, dtype=np.int32)
    return _Placed(dates, nothing, everywhere, everywhere, off_grid, ends)


def _place(
    ends: Dates, dates: Dates, sessions: Sessions, config: ChecksConfig
) -> _Placed:
    if config.daily:
        return _place_daily(ends, dates, sessions)
    length = config.bar_length.to_timedelta64().astype("m8[ns]")
    if config.bar_stamp == "start":
        ends = cut_at_close(ends, sessions, length)
    index, _ = locate(ends, sessions, length)
    inside = index >= 0
    around = np.searchsorted(sessions.opens, ends + _BEFORE_OPEN, side="right") - 1
    around = np.maximum(around, 0)
    opens = sessions.opens[around]
    extended = (ends >= opens - _BEFORE_OPEN) & (ends < opens + _AFTER_OPEN)
    dates = np.where(extended, sessions.dates[around], dates)
    dates = np.where(inside, sessions.dates[index], dates)
    known, near = _session_of_date(dates, sessions)
    since_open = ends - sessions.opens[near]
    minutes = since_open.astype("m8[m]").view("i8")
    minutes = np.where(known & ~np.isnat(ends), minutes, 0).astype(np.int32)
    at_close = inside & (ends == sessions.closes[near])
    off_grid = (since_open % length != np.timedelta64(0, "ns")) & ~at_close & known
    return _Placed(dates, minutes, known, inside, off_grid, ends)


def _place_daily(ends: Dates, dates: Dates, sessions: Sessions) -> _Placed:
    """A daily bar covers its session, so that its minutes are the session's length."""
    known, near = _session_of_date(dates, sessions)
    whole = (sessions.closes - sessions.opens).astype("m8[m]").view("i8")
    minutes = np.where(known, whole[near], 0).astype(np.int32)
    return _Placed(dates, minutes, known, known, np.zeros(len(ends), bool), ends)


def _session_of_date(
    dates: Dates, sessions: Sessions
) -> tuple[Mask, npt.NDArray[np.intp]]:
    near = np.searchsorted(sessions.dates, dates)
    near = np.minimum(near, len(sessions.dates) - 1)
    known: Mask = sessions.dates[near] == dates
    return known, near


def _judge_sessions(
    placed: _Placed, verdict: npt.NDArray[np.int8], config: ChecksConfig
) -> None:
    """Add the rules of the calendar to ``verdict``, in place."""
    sound = verdict == 0
    if config.defects.weekends == "quarantine":
        verdict[sound & ~placed.on_session_date] = RULE_CODE["not_a_session"]
    if config.session == "regular" and not config.daily:
        outside = sound & placed.on_session_date & ~placed.inside
        verdict[outside] = RULE_CODE["outside_session"]


def _check_stamps(ends: Dates, sessions: Sessions, config: ChecksConfig) -> None:
    """Refuse intraday stamps that lie where the declared ones cannot."""
    if config.daily or not len(ends):
        return
    length = config.bar_length.to_timedelta64()
    declared = config.bar_stamp
    stamps = np.unique(ends - length if declared == "start" else ends)
    used = np.searchsorted(stamps, sessions.closes, "right") > np.searchsorted(
        stamps, sessions.opens, "left"
    )
    at_open = np.isin(sessions.opens, stamps) & used
    at_close = np.isin(sessions.closes, stamps) & used
    right, wrong = (at_open, at_close) if declared == "start" else (at_close, at_open)
    n, edge, far = int(used.sum()), "open", "close"
    if declared == "end":
        edge, far = far, edge
    if n and right.sum() <= _FEW * n and wrong.sum() >= _MANY * n:
        other = "end" if declared == "start" else "start"
        raise UserError(
            f"data.bar_stamp is {declared!r}, but of {n} sessions of {sessions.name} "
            f"{int(right.sum())} have a stamp at the {edge} and {int(wrong.sum())} have "
            f"one exactly at the {far}: the stamps seem to name the {other} of each "
            f"bar. Set data.bar_stamp={other}, or correct data.timezone."
        )


def _check_zone(
    ends: Dates,
    counts: npt.NDArray[np.integer],
    sessions: Sessions,
    config: ChecksConfig,
) -> None:
    """Refuse intraday stamps whose trade begins or stops amid the sessions.

    Bars of before the opening and after the close hide a wrong zone from the presence
    of stamps; the number of rows (symbols) at them tells it.
    """
    length = config.bar_length.to_timedelta64().astype("m8[ns]")
    index, _ = locate(ends, sessions, length)
    inside = index >= 0
    held = np.unique(index[inside])
    opens, closes = sessions.opens[held], sessions.closes[held]
    since_open = ends[inside] - sessions.opens[index[inside]]
    uneven = np.concatenate([closes - opens, since_open]) % length
    if config.daily or not len(held) or uneven.astype(np.int64).any():
        return
    usual = counts[inside].sum() / ((closes - opens) // length).sum()
    before, first, last, after = (
        counts[np.isin(ends, edge)].sum() / len(held)
        for edge in (opens, opens + length, closes, closes + length)
    )
    busy, opening, closing = _BUSY * usual, min(before, first), min(last, after)
    late = closing >= busy and first < min(busy, _QUIET * closing)
    early = opening >= busy and last < min(busy, _QUIET * opening)
    if usual * len(held) >= _ENOUGH and (late or early):
        quiet, beyond = (
            ("first", "after the close") if late else ("last", "before the open")
        )
        rows = first if late else last
        raise UserError(
            f"data.timezone: over {len(held)} sessions of {sessions.name} the {quiet} "
            f"bar has {rows:.1f} rows on average, a usual one {usual:.1f}, and trade "
            f"goes on {beyond}. The stamps seem to be of another zone, or to name the "
            f"other end of each bar: correct data.timezone (now "
            f"{config.timezone or 'that of the stamps'}) or data.bar_stamp (now "
            f"{config.bar_stamp})."
        )


def _axis(
    placed: _Placed,
    verdict: npt.NDArray[np.int8],
    zone: str,
    bar_length: pd.Timedelta,
) -> TimeAxis:
    valid = np.flatnonzero(verdict == 0)
    ends, first = np.unique(placed.ends[valid], return_index=True)
    bar_of_stamp = np.full(len(verdict), -1, dtype=np.int32)
    bar_of_stamp[valid] = np.searchsorted(ends, placed.ends[valid])
    leader = valid[first]
    dates = placed.dates[leader]
    if np.any(np.diff(dates) < np.timedelta64(0, "D")):
        raise UserError(
            "The trading dates of the bars go back in time: data.timezone does not fit "
            "data.calendar. Give the zone of the exchange, as America/New_York."
        )
    if placed.minutes.size:
        minutes = placed.minutes[leader]
    else:
        minutes = _minutes_since_first(ends, dates, bar_length)
    return TimeAxis(
        ends, dates, minutes, placed.off_grid[leader], bar_of_stamp, verdict, zone
    )


def _minutes_since_first(
    ends: Dates, dates: Dates, bar_length: pd.Timedelta
) -> Minutes:
    first = np.searchsorted(dates, dates)
    since = ends - ends[first] + bar_length.to_timedelta64()
    return np.asarray(since.astype("m8[m]").astype(np.int32))
