"""Cuts: the bars after which the future is altered, placed where leaks show."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ranking_pipeline.panel import Panel
from ranking_pipeline.splits import NAMES, Splits

JUMP = 1.4  # ratio of neighbouring closes that looks like a split
RANDOM, EVERY = "random", "every bar"
KINDS = (
    "gap",
    "listing",
    "delisting",
    "likely split",
    "session end",
    "session start",
    "week end",
    "month end",
    "fold edge",
)

Bars = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Cut:
    """A bar t after which the future is altered, and why this one."""

    bar: int
    reason: str


def cuts(
    panel: Panel,
    splits: Splits | None,
    n_random: int,
    seed: int,
    *,
    every: bool = False,
    at_most: int | None = None,
) -> tuple[Cut, ...]:
    """Choose the cuts of a panel.

    Parameters
    ----------
    panel : Panel
    splits : Splits or None
        Whose block ends are cuts too; made for this panel.
    n_random : int
        Further bars, drawn without replacement.
    seed : int
    every : bool
        Cut at every bar instead.
    at_most : int, optional
        Most cuts at events. Each kind of event gives one in turn until there are so
        many, evenly spread over its own events, so that no kind is left out while
        another is taken twice.

    Returns
    -------
    tuple of Cut
        Ascending; a bar that is several events names them all. The last bar is none:
        nothing follows it.

    Notes
    -----
    A leak out of a missing bar, a listing or a calendar shows at few cuts only, so that
    random bars alone miss it. Cuts are the last missing bar of a gap, the bar before a
    listing, a symbol's last bar, the bar before a likely split (closes apart by a
    factor of 1.4 or more), the first and the last bars of sessions, the last ones of
    weeks and months, and the last bars of the blocks.
    """
    last = panel.n_bars - 1
    if every:
        return tuple(Cut(bar, EVERY) for bar in range(last))
    events = {kind: bars[bars < last] for kind, bars in _events(panel, splits)}
    reasons: dict[int, list[str]] = {}
    for kind, bar in _in_turn(events, at_most):
        reasons.setdefault(bar, []).append(kind)
    free = np.setdiff1d(np.arange(last), list(reasons))
    drawn = np.random.default_rng(seed).permutation(free)[:n_random]
    reasons |= {int(bar): [RANDOM] for bar in drawn}
    return tuple(Cut(bar, ", ".join(reasons[bar])) for bar in sorted(reasons))


def _events(panel: Panel, splits: Splits | None) -> Iterator[tuple[str, Bars]]:
    present = np.asarray(panel.present)
    ever = present.any(axis=1)
    first = present.argmax(axis=1)
    final = panel.n_bars - 1 - present[:, ::-1].argmax(axis=1)
    bars = np.arange(panel.n_bars)
    ends_gap = ~present[:, :-1] & present[:, 1:] & (bars[:-1] >= first[:, None])
    yield "gap", np.flatnonzero(ends_gap.any(axis=0))
    yield "listing", np.unique(first[ever & (first > 0)] - 1)
    yield "delisting", np.unique(final[ever])
    yield "likely split", _jumps(panel)
    dates = panel.trading_dates
    days = np.flatnonzero(dates[1:] != dates[:-1])
    intraday = len(days) < panel.n_bars - 1  # else every bar would be a session's end
    yield "session end", days if intraday else days[:0]
    yield "session start", days + 1 if intraday else days[:0]
    # 1970-01-01 was a Thursday: weeks begin on Monday.
    weeks = (dates.astype(np.int64) + 3) // 7
    yield "week end", np.flatnonzero(weeks[1:] != weeks[:-1])
    months = dates.astype("M8[M]")
    yield "month end", np.flatnonzero(months[1:] != months[:-1])
    edges = [splits.block(name).last_bar for name in NAMES] if splits else []
    yield "fold edge", np.array(edges, dtype=np.intp)


def _jumps(panel: Panel) -> Bars:
    close = panel.field("close").astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        size = np.abs(np.log(close[:, 1:] / close[:, :-1]))
    return np.flatnonzero((size >= np.log(JUMP)).any(axis=0))


def _in_turn(events: dict[str, Bars], at_most: int | None) -> Iterator[tuple[str, int]]:
    """Deal out the events kind by kind, each kind's own in a spread order."""
    spread = {
        kind: _spread_order(bars, number / len(events))
        for number, (kind, bars) in enumerate(events.items())
    }
    taken: set[int] = set()
    for turn in range(max(map(len, spread.values()), default=0)):
        for kind, bars in spread.items():
            if turn >= len(bars):
                continue
            bar = int(bars[turn])
            if at_most is not None and bar not in taken and len(taken) >= at_most:
                continue
            taken.add(bar)
            yield kind, bar


def _spread_order(bars: Bars, phase: float) -> Bars:
    """Order so that any first few of the bars lie evenly over all of them.

    The fractional parts of multiples of the golden ratio fill an interval evenly; the
    phase lets each kind of event begin elsewhere.
    """
    place = np.argsort((phase + np.arange(len(bars)) * 0.6180339887498949) % 1.0)
    order = np.empty(len(bars), dtype=np.intp)
    order[place] = np.arange(len(bars))
    return bars[order]
