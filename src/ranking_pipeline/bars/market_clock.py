"""When the bars of the simulated market begin and end, and where in their session."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.bars.calendar import Sessions, sessions_between
from ranking_pipeline.bars.config import MarketConfig
from ranking_pipeline.bars.interval import interval_minutes

_ZONE = "America/New_York"
_OPEN, _CLOSE = pd.Timedelta(hours=9, minutes=30), pd.Timedelta(hours=16)


@dataclass(frozen=True)
class BarClock:
    """The time axis of a simulated market.

    Attributes
    ----------
    starts, ends : DatetimeIndex, length T
        In UTC.
    opens_session : ndarray of bool, shape (T,)
        Where a night lies before the bar; false everywhere for daily bars.
    distance : ndarray, shape (T,)
        Of the middle of the bar from noon of its session: -1 at the open, 1 at the
        close; 0 for daily bars.
    sessions : Sessions or None
        Where the bars come from; None for daily bars of plain business days.
    """

    starts: pd.DatetimeIndex
    ends: pd.DatetimeIndex
    opens_session: npt.NDArray[np.bool_]
    distance: npt.NDArray[np.float64]
    sessions: Sessions | None


def bar_clock(config: MarketConfig) -> BarClock:
    """Bars of sessions: those of the calendar, or business days of New York.

    Without a calendar each business day has a session from 09:30 to 16:00 in New York,
    summer time included. A session has ``bars_per_session`` bars from its open, fewer
    when it closes early. A daily bar covers its date in UTC.
    """
    if config.interval == "1d":
        return _daily_clock(config)
    sessions, counts = _enough_sessions(config)
    session = np.repeat(np.arange(len(counts)), counts)[: config.n_bars]
    begin = np.cumsum(counts) - counts
    place = np.arange(config.n_bars) - begin[session]
    length = pd.Timedelta(minutes=interval_minutes(config.interval))
    opens = pd.DatetimeIndex(sessions.opens[session], tz="UTC")
    starts = opens + length * place
    distance = 2.0 * (place + 0.5) / counts[session] - 1.0
    return BarClock(starts, starts + length, place == 0, distance, sessions)


def _daily_clock(config: MarketConfig) -> BarClock:
    sessions, _ = _enough_sessions(config)
    dates = sessions.dates[: config.n_bars].astype("M8[ns]")
    starts = pd.DatetimeIndex(dates, tz="UTC")
    nothing = np.zeros(config.n_bars)
    return BarClock(
        starts,
        starts + pd.Timedelta(days=1),
        nothing > 0,
        nothing,
        None if config.calendar is None else sessions,
    )


def _enough_sessions(
    config: MarketConfig,
) -> tuple[Sessions, npt.NDArray[np.int64]]:
    """Sessions that hold all bars, and the number of bars in each."""
    wanted = config.n_bars
    if config.interval != "1d":
        wanted = -(-config.n_bars // config.bars_per_session)
    while True:
        sessions = _sessions(config, wanted)
        counts = _bars_of(sessions, config)
        if counts.sum() >= config.n_bars:
            return sessions, counts
        # Holidays and early closes leave less than a naive count: look further.
        wanted = wanted + wanted // 2 + 10


def _sessions(config: MarketConfig, wanted: int) -> Sessions:
    if config.calendar is not None:
        first = np.datetime64(config.start_date, "D")
        last = first + np.timedelta64(wanted, "D")
        return sessions_between(config.calendar, first, last)
    dates = _business_days(config.start_date, wanted)
    midnight = pd.DatetimeIndex(dates)
    opens, closes = (
        (midnight + clock).tz_localize(_ZONE).tz_convert("UTC").tz_localize(None)
        for clock in (_OPEN, _CLOSE)
    )
    return Sessions(
        _ZONE,
        dates.astype("M8[D]"),
        opens.to_numpy("M8[ns]"),
        closes.to_numpy("M8[ns]"),
    )


def _bars_of(sessions: Sessions, config: MarketConfig) -> npt.NDArray[np.int64]:
    if config.interval == "1d":
        return np.ones(len(sessions.dates), dtype=np.int64)
    length = np.timedelta64(interval_minutes(config.interval), "m")
    whole = (sessions.closes - sessions.opens) // length
    return np.minimum(whole, config.bars_per_session)


def _business_days(first: date, periods: int) -> npt.NDArray[np.datetime64]:
    return pd.bdate_range(first, periods=periods).to_numpy("M8[ns]")
