"""Factors of the running session: its time, opening, range, volume and volatility.

They read the bars of a session from its first one to bar t and, where it is said, a
declared number of whole sessions before it; nothing else, so that every sum starts anew
at an opening and is the same bit for bit whatever history precedes it.
"""

from __future__ import annotations

import math
from functools import partial
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from ranking_pipeline.errors import UserError
from ranking_pipeline.features.registry import factor
from ranking_pipeline.features.series import Bars
from ranking_pipeline.features.windows import Array, required
from ranking_pipeline.panel import BoolArray

GROUP = "session"
SETS = ("session",)
HALF_HOUR = 30
USUAL_SESSIONS = 5
MIN_RETURNS = 3

CLOCK = "Admati and Pfleiderer (1988)"
OPENING = "Crabel (1990)"
OVERNIGHT = "Lou, Polk and Skouras (2019)"
INTRADAY = "Gao, Han, Li and Zhou (2018)"
VWAP = "Berkowitz, Logue and Noser (1988)"
REALISED = "Andersen and Bollerslev (1998)"


class SessionGrid:
    """Bars laid out by session and minute, shape (s, D, N); NaN where there is none.

    Parameters
    ----------
    bars : Bars
        With D sessions whose bars end at N different minutes after the opening.

    Raises
    ------
    UserError
        When two bars of a session end in the same minute.
    """

    def __init__(self, bars: Bars) -> None:
        minutes, column = np.unique(bars.session_minutes, return_inverse=True)
        n_sessions = int(bars.session[-1]) + 1 if len(bars.session) else 0
        self.session = bars.session
        self._size = (n_sessions, len(minutes))
        self._cell = bars.session.astype(np.intp) * len(minutes) + column
        if np.any(np.diff(self._cell) <= 0):
            raise UserError(
                "features.factors: two bars of one session end in the same minute; "
                "leave the set 'session' out, or use bars of a minute or longer"
            )

    def spread(self, values: Array) -> Array:
        """Lay out values (s, T) as (s, D, N)."""
        grid = np.full((len(values), math.prod(self._size)), np.nan)
        grid[:, self._cell] = values
        return grid.reshape(len(values), *self._size)

    def gather(self, grid: Array) -> Array:
        """Bring values (s, D, N) back to the axis of the bars, (s, T)."""
        return grid.reshape(len(grid), -1)[:, self._cell]

    def sum_so_far(self, values: Array) -> Array:
        """Add the known values of the session up to each minute, (s, D, N)."""
        grid = self.spread(values)
        return np.cumsum(np.where(np.isfinite(grid), grid, 0.0), axis=2)

    def count_so_far(self, values: Array) -> Array:
        """Count the known values of the session up to each minute, (s, D, N)."""
        return np.cumsum(np.isfinite(self.spread(values)), axis=2, dtype=np.float64)

    def highest_so_far(self, values: Array) -> Array:
        """Find the highest value of the session up to each bar, (s, T)."""
        return self.gather(np.fmax.accumulate(self.spread(values), axis=2))

    def lowest_so_far(self, values: Array) -> Array:
        """Find the lowest value of the session up to each bar, (s, T)."""
        return self.gather(np.fmin.accumulate(self.spread(values), axis=2))

    def first(self, values: Array) -> Array:
        """Take the first known value of the session of each bar, (s, T)."""
        return self._chosen(self.spread(values))[:, self.session]

    def last_of_previous(self, values: Array) -> Array:
        """Take the last known value of the session before that of each bar, (s, T)."""
        last = self._chosen(self.spread(values)[:, :, ::-1])
        return earlier_session(last, 1)[:, self.session]

    @staticmethod
    def _chosen(grid: Array) -> Array:
        position = np.isfinite(grid).argmax(axis=2)[:, :, None]
        chosen: Array = np.take_along_axis(grid, position, axis=2)[:, :, 0]
        return chosen


def earlier_session(values: Array, sessions: int) -> Array:
    """Shift values (s, D, ...) to those of some sessions before; NaN before the first."""
    shifted = np.full_like(values, np.nan)
    if sessions < values.shape[1]:
        shifted[:, sessions:] = values[:, : values.shape[1] - sessions]
    return shifted


_GRIDS: WeakKeyDictionary[Bars, SessionGrid] = WeakKeyDictionary()


def grid_of(bars: Bars) -> SessionGrid:
    """Lay the sessions out once for all factors of the same bars."""
    if bars not in _GRIDS:
        _GRIDS[bars] = SessionGrid(bars)
    return _GRIDS[bars]


def _for_each_symbol(bars: Bars, values: npt.NDArray[np.number | np.bool_]) -> Array:
    return np.broadcast_to(values.astype(np.float64), bars.close.shape)


def _usual_length(bars: Bars) -> Array:
    """Minutes of the longest of the sessions before, shape (T,)."""
    ends = np.append(np.flatnonzero(np.diff(bars.session)), len(bars.session) - 1)
    lengths = bars.session_minutes[ends].astype(np.float64)[None]  # (1, D)
    before = [earlier_session(lengths, k) for k in range(1, USUAL_SESSIONS + 1)]
    longest: Array = np.max(before, axis=0)[0][bars.session]
    return longest


@factor(
    "session_minutes",
    group=GROUP,
    formula="minutes from the opening of the session to the end of bar t",
    inputs=("close",),
    source=CLOCK,
    sets=SETS,
    session=True,
)
def session_minutes(bars: Bars) -> Array:
    """Minutes since the opening."""
    return _for_each_symbol(bars, bars.session_minutes)


def _share(bars: Bars) -> Array:
    return bars.session_minutes / _usual_length(bars)


@factor(
    "session_share",
    group=GROUP,
    formula="session_minutes / minutes of the longest of the 5 sessions before",
    inputs=("close",),
    source=CLOCK,
    sets=SETS,
    session=True,
    lookback_sessions=USUAL_SESSIONS,
)
def session_share(bars: Bars) -> Array:
    """How much of the session has passed; its own close is not known before it."""
    return _for_each_symbol(bars, _share(bars))


@factor(
    "session_sine",
    group=GROUP,
    formula="sin(2 pi session_share)",
    inputs=("close",),
    source=CLOCK,
    sets=SETS,
    session=True,
    lookback_sessions=USUAL_SESSIONS,
)
def session_sine(bars: Bars) -> Array:
    """Time of the session on a circle, first coordinate."""
    return _for_each_symbol(bars, np.sin(2.0 * math.pi * _share(bars)))


@factor(
    "session_cosine",
    group=GROUP,
    formula="cos(2 pi session_share)",
    inputs=("close",),
    source=CLOCK,
    sets=SETS,
    session=True,
    lookback_sessions=USUAL_SESSIONS,
)
def session_cosine(bars: Bars) -> Array:
    """Time of the session on a circle, second coordinate."""
    return _for_each_symbol(bars, np.cos(2.0 * math.pi * _share(bars)))


def _opens(bars: Bars) -> BoolArray:
    """Where the first half hour runs; not in bars kept from before the opening."""
    return (bars.session_minutes >= 0) & (bars.session_minutes <= HALF_HOUR)


@factor(
    "first_half_hour",
    group=GROUP,
    formula="1 where bar t ends within 30 minutes of the opening, else 0",
    inputs=("close",),
    source=INTRADAY,
    sets=SETS,
    session=True,
)
def first_half_hour(bars: Bars) -> Array:
    """Flag of the opening."""
    return _for_each_symbol(bars, _opens(bars))


@factor(
    "last_half_hour",
    group=GROUP,
    formula="1 where bar t ends in the last 30 minutes of a session as long as the "
    "longest of the 5 before, else 0",
    inputs=("close",),
    source=INTRADAY,
    sets=SETS,
    session=True,
    lookback_sessions=USUAL_SESSIONS,
)
def last_half_hour(bars: Bars) -> Array:
    """Flag of the close."""
    usual = _usual_length(bars)
    late = np.where(bars.session_minutes > usual - HALF_HOUR, 1.0, 0.0)
    return _for_each_symbol(bars, np.where(np.isfinite(usual), late, np.nan))


@factor(
    "overnight_gap",
    group=GROUP,
    formula="first open of the session / last close of the session before - 1",
    inputs=("open", "close"),
    source=OVERNIGHT,
    sets=SETS,
    session=True,
    lookback_sessions=1,
)
def overnight_gap(bars: Bars) -> Array:
    """Return between the sessions."""
    grid = grid_of(bars)
    return grid.first(bars.open) / grid.last_of_previous(bars.close) - 1.0


@factor(
    "session_return",
    group=GROUP,
    formula="close / first open of the session - 1",
    inputs=("open", "close"),
    source=INTRADAY,
    sets=SETS,
    session=True,
)
def session_return(bars: Bars) -> Array:
    """Return since the opening."""
    return bars.close / grid_of(bars).first(bars.open) - 1.0


@factor(
    "return_since_close",
    group=GROUP,
    formula="close / last close of the session before - 1",
    inputs=("close",),
    source=INTRADAY,
    sets=SETS,
    session=True,
    lookback_sessions=1,
)
def return_since_close(bars: Bars) -> Array:
    """Return since the close of the session before."""
    return bars.close / grid_of(bars).last_of_previous(bars.close) - 1.0


def _opening(bars: Bars, values: Array) -> Array:
    """Values of the first half hour; NaN in the rest of the session."""
    return np.where(_opens(bars), values, np.nan)


def _after_opening(bars: Bars, values: Array) -> Array:
    return np.where(bars.session_minutes >= HALF_HOUR, values, np.nan)


@factor(
    "opening_high_distance",
    group=GROUP,
    formula="close / highest high of the first 30 minutes - 1; unknown before they end",
    inputs=("high", "close"),
    source=OPENING,
    sets=SETS,
    session=True,
)
def opening_high_distance(bars: Bars) -> Array:
    """Distance of the close from the top of the opening range."""
    highest = grid_of(bars).highest_so_far(_opening(bars, bars.high))
    return _after_opening(bars, bars.close / highest - 1.0)


@factor(
    "opening_low_distance",
    group=GROUP,
    formula="close / lowest low of the first 30 minutes - 1; unknown before they end",
    inputs=("low", "close"),
    source=OPENING,
    sets=SETS,
    session=True,
)
def opening_low_distance(bars: Bars) -> Array:
    """Distance of the close from the bottom of the opening range."""
    lowest = grid_of(bars).lowest_so_far(_opening(bars, bars.low))
    return _after_opening(bars, bars.close / lowest - 1.0)


@factor(
    "session_high_distance",
    group=GROUP,
    formula="close / highest high of the session so far - 1",
    inputs=("high", "close"),
    source=OPENING,
    sets=SETS,
    session=True,
)
def session_high_distance(bars: Bars) -> Array:
    """Distance below the high of the session."""
    return bars.close / grid_of(bars).highest_so_far(bars.high) - 1.0


@factor(
    "session_low_distance",
    group=GROUP,
    formula="close / lowest low of the session so far - 1",
    inputs=("low", "close"),
    source=OPENING,
    sets=SETS,
    session=True,
)
def session_low_distance(bars: Bars) -> Array:
    """Distance above the low of the session."""
    return bars.close / grid_of(bars).lowest_so_far(bars.low) - 1.0


@factor(
    "session_vwap_distance",
    group=GROUP,
    formula="close / (sum of (high + low + close) / 3 volume / sum of volume) - 1, both "
    "over the session so far",
    inputs=("high", "low", "close", "volume"),
    source=VWAP,
    sets=SETS,
    session=True,
)
def session_vwap_distance(bars: Bars) -> Array:
    """Distance of the close from the mean price paid in the session."""
    grid = grid_of(bars)
    typical = (bars.high + bars.low + bars.close) / 3.0
    value = grid.sum_so_far(typical * bars.volume)
    return bars.close / grid.gather(value / grid.sum_so_far(bars.volume)) - 1.0


@factor(
    "session_volatility",
    group=GROUP,
    formula="square root of the mean squared return of the bars of the session so far, "
    "without the overnight one; unknown below 3 returns",
    inputs=("close",),
    source=REALISED,
    sets=SETS,
    session=True,
)
def session_volatility(bars: Bars) -> Array:
    """Volatility per bar of the session so far."""
    grid = grid_of(bars)
    inside = np.where(bars.opens_session, np.nan, bars.ret)
    count = grid.count_so_far(inside)
    mean = grid.sum_so_far(inside * inside) / count
    return grid.gather(np.where(count >= MIN_RETURNS, np.sqrt(mean), np.nan))


def _volume_surprise(bars: Bars, sessions: int) -> Array:
    grid = grid_of(bars)
    traded = grid.sum_so_far(bars.volume)
    seen = np.where(grid.count_so_far(bars.volume) > 0, traded, np.nan)
    total, count = np.zeros_like(traded), np.zeros_like(traded)
    for age in range(sessions, 0, -1):
        then = earlier_session(seen, age)
        known = np.isfinite(then)
        total += np.where(known, then, 0.0)
        count += known
    usual = np.where(count >= required(sessions), total / count, np.nan)
    return grid.gather(np.log(traded / usual))


for n_sessions in (5, 20):
    factor(
        f"session_volume_surprise_{n_sessions}",
        group=GROUP,
        formula="ln(volume of the session so far / its mean at the same minute of the "
        f"{n_sessions} sessions before)",
        inputs=("volume",),
        source=CLOCK,
        sets=SETS,
        session=True,
        lookback_sessions=n_sessions,
    )(partial(_volume_surprise, sessions=n_sessions))
