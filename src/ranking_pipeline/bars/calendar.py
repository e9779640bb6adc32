"""Sessions of an exchange: when each trading date opens and closes, in UTC."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from ranking_pipeline.errors import UserError

DateArray = npt.NDArray[np.datetime64]
INSTANT = np.timedelta64(1, "ns")
_SHOWN_NAMES = "XNYS, XLON, XTKS, CMES, 24/7"


@dataclass(frozen=True)
class Sessions:
    """The sessions of one calendar in the order of time, which never overlap.

    Attributes
    ----------
    name : str
        Name of the calendar, as XNYS.
    dates : ndarray of datetime64[D], shape (n,)
        Local trading date of each session.
    opens, closes : ndarray of datetime64[ns], shape (n,)
        Instants in UTC. A break at noon (XTKS, XHKG) lies within its session.
    """

    name: str
    dates: DateArray
    opens: DateArray
    closes: DateArray


def sessions_between(
    calendar_name: str, first_date: np.datetime64, last_date: np.datetime64
) -> Sessions:
    """All sessions from ``first_date`` to ``last_date``, both included.

    Parameters
    ----------
    calendar_name
        A name of the package ``exchange_calendars``: a market identifier (ISO 10383,
        as XNYS), one of its aliases (NYSE), or ``24/7``.
    first_date, last_date
        Trading dates; dates without a session between them give no sessions.

    Raises
    ------
    UserError
        The name is unknown, or the dates lie outside what the calendar records.
    """
    first, last = first_date.astype("M8[D]"), last_date.astype("M8[D]")
    dates, opens, closes = _whole_years(calendar_name, _year(first), _year(last))
    _require_recorded(calendar_name, first, last)
    span = slice(np.searchsorted(dates, first), np.searchsorted(dates, last, "right"))
    return Sessions(calendar_name, dates[span], opens[span], closes[span])


def locate(
    ends: DateArray, sessions: Sessions, bar_length: np.timedelta64 = INSTANT
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Session of each bar, and the minutes from its open to the END of the bar.

    Parameters
    ----------
    ends : ndarray of datetime64[ns], shape (n,)
        Ends of bars in UTC; NaT lies outside.
    sessions
        Where to look.
    bar_length
        A bar is inside when the session is open from ``end - bar_length`` to ``end``;
        by default when it is open at the instant before ``end``.

    Returns
    -------
    index, minutes : ndarray of int32, shape (n,)
        Position in ``sessions`` and whole minutes; both -1 outside any session.
    """
    ends = ends.astype("M8[ns]")
    if not len(sessions.dates):
        return _outside(len(ends)), _outside(len(ends))
    found = np.searchsorted(sessions.opens, ends, side="left") - 1
    near = np.maximum(found, 0)
    opens, closes = sessions.opens[near], sessions.closes[near]
    # Comparisons with NaT are false, so that an unreadable stamp lies outside.
    inside = (found >= 0) & (opens <= ends - bar_length) & (ends <= closes)
    minutes = np.where(inside, (ends - opens).astype("m8[m]").view("i8"), -1)
    return np.where(inside, near, -1).astype(np.int32), minutes.astype(np.int32)


def cut_at_close(
    ends: DateArray, sessions: Sessions, bar_length: np.timedelta64
) -> DateArray:
    """Ends of bars, where the last bar of a session ends at the close.

    An hourly bar that opens at 15:30 of a session which closes at 16:00 ends nominally
    at 16:30, though all of it is known at 16:00. A bar moves only when it opens before
    the close and ends after it.

    Parameters
    ----------
    ends : ndarray of datetime64[ns], shape (n,)
    sessions
        Where to look.
    bar_length
        Nominal length of a bar.
    """
    ends = ends.astype("M8[ns]")
    starts = ends - bar_length
    if not len(sessions.dates):
        return ends
    index, _ = locate(starts + INSTANT, sessions)
    return np.where(index >= 0, np.minimum(ends, sessions.closes[index]), ends)


def _outside(n: int) -> npt.NDArray[np.int32]:
    return np.full(n, -1, dtype=np.int32)


def _year(date: np.datetime64) -> int:
    return int(date.astype("M8[Y]").astype(int)) + 1970


@lru_cache(maxsize=16)
def _whole_years(
    name: str, first_year: int, last_year: int
) -> tuple[DateArray, DateArray, DateArray]:
    """Dates, opens and closes of whole years, as far as the calendar records them."""
    import exchange_calendars

    earliest, latest = _bounds(name)
    start = max(np.datetime64(f"{first_year:04}-01-01", "D"), earliest)
    end = min(np.datetime64(f"{last_year:04}-12-31", "D"), latest)
    if start > end:
        nothing = np.empty(0, dtype="M8[ns]")
        return nothing.astype("M8[D]"), nothing, nothing
    with warnings.catch_warnings():
        # The package calls what pandas deprecates; that is no news to our users.
        warnings.simplefilter("ignore", DeprecationWarning)
        calendar = exchange_calendars.get_calendar(name, str(start), str(end))
    dates = calendar.opens.index.to_numpy("M8[ns]").astype("M8[D]")
    return dates, _instants(calendar.opens), _instants(calendar.closes)


def _instants(stamps: Any) -> DateArray:
    instants = stamps.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy("M8[ns]")
    return np.asarray(instants)


@lru_cache(maxsize=16)
def _bounds(name: str) -> tuple[np.datetime64, np.datetime64]:
    """First and last date which a calendar can tell."""
    import exchange_calendars

    names = exchange_calendars.get_calendar_names()
    if name not in names:
        near = get_close_matches(name.upper(), names, n=3, cutoff=0.5)
        known = f"Near: {', '.join(near)}." if near else f"As: {_SHOWN_NAMES}."
        raise UserError(
            f"calendar: {name!r} is no calendar of exchange_calendars. {known} "
            "Null uses none."
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        calendar = exchange_calendars.get_calendar(name)
    earliest, latest = calendar.bound_min(), calendar.bound_max()
    return (
        np.datetime64("1700-01-01" if earliest is None else earliest, "D"),
        np.datetime64("2200-12-31" if latest is None else latest, "D"),
    )


def _require_recorded(name: str, first: np.datetime64, last: np.datetime64) -> None:
    earliest, latest = _bounds(name)
    if first < earliest or last > latest:
        raise UserError(
            f"calendar: {name} records the dates {earliest} to {latest}; the bars ask "
            f"for {first} to {last}. Set data.first_date and data.last_date within, or "
            "calendar to null."
        )
