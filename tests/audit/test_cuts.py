"""Cuts: at every event of a panel that was made by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.audit import worlds

from ranking_pipeline.audit.cuts import EVERY, RANDOM, Cut, cuts
from ranking_pipeline.panel import Panel
from ranking_pipeline.splits import make_splits


@pytest.fixture(scope="module")
def panel() -> Panel:
    """Thirty business days from Monday, 1 January 2018."""
    values = np.ones((4, 30, 5), dtype=np.float32)
    values[0, 10:13] = np.nan  # a gap whose last missing bar is 12
    values[1, :7] = np.nan  # listed at bar 7
    values[2, 21:] = np.nan  # its last bar is 20
    values[3, 16:] *= 2  # doubles from bar 15 to 16
    return worlds.panel_of(values)


def found(panel: Panel, **changes: object) -> dict[int, str]:
    chosen = cuts(panel, None, 0, 0, **changes)  # type: ignore[arg-type]
    return {cut.bar: cut.reason for cut in chosen}


def test_every_event_is_a_cut_with_its_reason(panel: Panel) -> None:
    fridays = {4: "week end", 9: "week end", 14: "week end", 19: "week end"}
    expected = fridays | {
        6: "listing",
        12: "gap",
        15: "likely split",
        20: "delisting",
        22: "month end",  # 31 January
        24: "week end",
    }
    assert found(panel) == expected


def test_a_bar_of_several_events_names_them_all(panel: Panel) -> None:
    values = panel.values.copy()
    values[0, 5:15] = np.nan  # the gap now ends on a Friday
    assert found(replace(panel, values=values))[14] == "gap, week end"


def test_block_ends_are_cuts(panel: Panel) -> None:
    splits = make_splits(panel.timestamps, 0.6, 0.2, 0)
    reasons = {cut.bar: cut.reason for cut in cuts(panel, splits, 0, 0)}
    assert reasons[17] == "fold edge"
    assert reasons[23] == "fold edge"


def test_sessions_end_where_a_day_has_several_bars() -> None:
    panel = worlds.intraday_market(0, n_symbols=4, n_days=6, per_day=5)
    ends = [cut.bar for cut in cuts(panel, None, 0, 0) if "session end" in cut.reason]
    dates = panel.trading_dates
    assert ends == [t for t in range(panel.n_bars - 1) if dates[t] != dates[t + 1]]


def test_every_bar_but_the_last(panel: Panel) -> None:
    chosen = cuts(panel, None, 3, 0, every=True)
    assert chosen == tuple(Cut(bar, EVERY) for bar in range(29))


def test_random_cuts_are_other_bars(panel: Panel) -> None:
    events = set(found(panel))
    chosen = cuts(panel, None, 5, 0)
    drawn = {cut.bar for cut in chosen if cut.reason == RANDOM}
    assert len(drawn) == 5
    assert not drawn & events
    assert chosen == cuts(panel, None, 5, 0)


@pytest.mark.parametrize("most", [1, 3, 5, 7])
def test_a_cap_takes_each_kind_before_any_twice(panel: Panel, most: int) -> None:
    reasons = list(found(panel, at_most=most).values())
    assert len(reasons) == most
    kinds = {"gap", "listing", "delisting", "likely split", "week end", "month end"}
    assert len(set(reasons)) == min(most, len(kinds))


def test_a_capped_kind_is_spread_over_the_panel() -> None:
    values = np.ones((4, 400, 5), dtype=np.float32)
    panel = worlds.panel_of(values)
    bars = sorted(found(panel, at_most=8))
    assert max(np.diff([0, *bars, 399])) < 140


def test_a_symbol_without_any_bar_is_no_event() -> None:
    values = np.ones((4, 6, 5), dtype=np.float32)
    values[1] = np.nan
    assert set(found(worlds.panel_of(values)).values()) == {"week end"}
