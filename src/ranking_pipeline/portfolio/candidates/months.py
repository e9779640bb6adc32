"""Trade months: each with the as-of bar whose close is the last that it may know."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ranking_pipeline.errors import UserError
from ranking_pipeline.panel import DateArray, Panel

MONTH, DAY = np.timedelta64(1, "M"), np.timedelta64(1, "D")
# Rows further apart than a weekend with holidays are no daily bars.
_LONGEST_GAP_DAYS = 4


@dataclass(frozen=True)
class TradeMonths:
    """Months to trade in and the bars at which they are decided.

    Attributes
    ----------
    months : ndarray of datetime64[M], shape (M,)
        Rising.
    bars : ndarray of int, shape (M,)
        The as-of bar of each: the last of the month before, on the panel's time axis.
    early : bool
        Whether the last of them is decided before the month of its as-of bar is over.
    """

    months: npt.NDArray[np.datetime64]
    bars: npt.NDArray[np.intp]
    early: bool = False


def refuse_other_intervals(panel: Panel) -> None:
    """Raise UserError unless the panel has one bar for each trading day.

    Windows are counted in days: on weekly or monthly rows they would silently span
    years, and on intraday bars hours.
    """
    dates = panel.trading_dates
    steps = np.diff(dates).astype(np.int64)
    if len(steps) and (steps > 0).all() and np.median(steps) <= _LONGEST_GAP_DAYS:
        return
    usual = f"{np.median(steps):g} days" if len(steps) else "unknown, for want of bars,"
    raise UserError(
        f"candidate_selection: its windows are days, and the bars are not daily: the "
        f"usual step between them is {usual} and {int((steps == 0).sum())} of "
        f"{len(dates)} share a trading date with the one before. Give daily bars, or "
        "set data.interval 1d with data.source_interval for finer ones."
    )


def trade_months(
    dates: DateArray,
    *,
    first: str | None,
    last: str | None,
    history_bars: int,
) -> TradeMonths:
    """Find the months to trade in, each the one after a month of the panel.

    Parameters
    ----------
    dates : ndarray of datetime64[D], shape (T,)
        Trading dates, rising.
    first, last : str or None
        First and last trade month, as 2018-06, both included. Without ``last``, the
        month after the last bar is the last one where that bar's month is over: no day
        of the week on which the market trades is left in it. Where ``last`` asks for
        that month all the same, it is decided at the last bar, and marked as early.
    history_bars : int
        Bars up to the as-of bar that a month needs where ``first`` is None.

    Raises
    ------
    UserError
        A month that was asked for has no as-of bar, or none is left.
    """
    own: npt.NDArray[np.datetime64] = dates.astype("M8[M]")
    ends = np.flatnonzero(np.append(own[1:] != own[:-1], True)[: len(own)])
    months: npt.NDArray[np.datetime64] = np.add(own[ends], MONTH)
    _refuse_beyond("first_month", first, months)
    _refuse_beyond("last_month", last, months)
    over = _is_over(dates)
    earliest = months[0] if first is None else np.datetime64(first, "M")
    kept = (months >= earliest) & ((ends + 1 >= history_bars) | (first is not None))
    if last is not None:
        kept &= months <= np.datetime64(last, "M")
    elif not over:
        kept[-1] = False
    if not kept.any():
        raise UserError(
            f"candidate_selection: no month to trade in: {len(dates)} bars from "
            f"{dates[0]} to {dates[-1]} hold none that begins with {history_bars} bars "
            f"of history and lies in first_month {first} to last_month {last}. Give "
            "more bars or other months."
        )
    return TradeMonths(months[kept], ends[kept], bool(kept[-1]) and not over)


def _refuse_beyond(
    name: str, month: str | None, months: npt.NDArray[np.datetime64]
) -> None:
    if month is None or np.datetime64(month, "M") in months:
        return
    raise UserError(
        f"candidate_selection.{name}: {month} has no trading date in the month before "
        f"it, at whose close it is decided. The bars serve {months[0]} to {months[-1]}."
    )


def _is_over(dates: DateArray) -> bool:
    """Whether the month of the last date has no day left that may be traded on."""
    last = dates[-1]
    left = np.arange(last + DAY, (last.astype("M8[M]") + MONTH).astype("M8[D]"))
    return not np.isin(_weekday(left), _weekday(dates)).any()


def _weekday(dates: DateArray) -> npt.NDArray[np.int64]:
    """Day of the week, 0 for Thursday: the day on which Unix time begins."""
    return np.asarray(dates.astype(np.int64) % 7)
