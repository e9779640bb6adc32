"""Months of trading, and the bar at whose close each is decided."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.portfolio.candidates.candidate_world import business_days, random_market

from ranking_pipeline.errors import UserError
from ranking_pipeline.portfolio.candidates.months import (
    refuse_other_intervals,
    trade_months,
)

ALL = {"first": None, "last": None, "history_bars": 1}


def days(first: str, n_bars: int) -> np.ndarray:
    return business_days(n_bars, np.datetime64(first))


def test_a_month_is_decided_on_the_last_trading_date_before_it() -> None:
    dates = days("2019-11-27", 30)  # to 2020-01-07, New Year's Day among them
    found = trade_months(dates, **ALL)
    assert found.months.astype(str).tolist() == ["2019-12", "2020-01"]
    assert dates[found.bars].astype(str).tolist() == ["2019-11-29", "2019-12-31"]


def test_the_live_month_is_there_once_the_month_before_is_over() -> None:
    over = days("2020-01-02", 22)  # to Friday, 31 January
    assert trade_months(over, **ALL).months.astype(str).tolist() == ["2020-02"]
    with pytest.raises(UserError, match="no month to trade in"):
        trade_months(over[:-1], **ALL)
    asked = trade_months(over[:-1], first=None, last="2020-02", history_bars=1)
    assert over[asked.bars].astype(str).tolist() == ["2020-01-30"]
    assert asked.early


def test_only_the_month_after_an_unfinished_one_is_early() -> None:
    over = days("2020-01-02", 22)
    for dates, last in ((over, "2020-02"), (days("2019-12-02", 43), "2020-01")):
        asked = trade_months(dates, first=None, last=last, history_bars=1)
        assert not asked.early


def test_a_month_ends_on_the_last_weekday_that_trades() -> None:
    friday = np.datetime64("2020-05-29")  # the 30th and the 31st are a weekend
    weekdays = np.arange("2020-05-20", "2020-05-30", dtype="M8[D]")
    assert trade_months(weekdays[np.is_busday(weekdays)], **ALL).bars.tolist() == [7]
    assert weekdays[-1] == friday
    with pytest.raises(UserError, match="no month to trade in"):
        trade_months(weekdays, **ALL)  # this market trades at weekends too


def test_first_and_last_month_are_both_included() -> None:
    found = trade_months(
        days("2019-01-01", 400), first="2019-06", last="2019-08", history_bars=300
    )
    assert found.months.astype(str).tolist() == ["2019-06", "2019-07", "2019-08"]


def test_the_first_month_has_the_longest_window_behind_it() -> None:
    dates = days("2019-01-01", 100)
    found = trade_months(dates, first=None, last=None, history_bars=60)
    assert (found.bars + 1 >= 60).all()
    earlier = trade_months(dates, **ALL)
    assert (np.setdiff1d(earlier.bars, found.bars) + 1 < 60).all()


@pytest.mark.parametrize("asked", [{"first": "2018-12"}, {"last": "2021-01"}])
def test_a_month_without_bars_before_it_is_refused(asked: dict[str, str]) -> None:
    with pytest.raises(UserError, match="no trading date in the month before"):
        trade_months(days("2019-01-01", 100), **{**ALL, **asked})


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 4000), st.integers(25, 300))
def test_as_of_dates_lie_strictly_before_their_month(start: int, n_bars: int) -> None:
    dates = business_days(n_bars, np.datetime64("2010-01-01") + start)
    found = trade_months(dates, first=None, last=str(dates[-1].astype("M8[M]") + 1),
                         history_bars=1)  # fmt: skip
    assert (dates[found.bars] < found.months.astype("M8[D]")).all()
    assert (np.diff(found.months) == np.timedelta64(1, "M")).all()
    # no trading date lies between an as-of date and its month
    after = dates[np.minimum(found.bars + 1, len(dates) - 1)]
    later = after > dates[found.bars]
    assert (after[later] >= found.months[later].astype("M8[D]")).all()


def test_windows_of_days_are_not_applied_to_other_rows() -> None:
    panel = random_market()
    refuse_other_intervals(panel)
    ends = np.flatnonzero(np.diff(panel.trading_dates.astype("M8[M]").astype(int)))
    monthly = replace(
        panel,
        timestamps=panel.timestamps[ends],
        values=panel.values[:, ends],
        tradable=panel.tradable[:, ends],
        trading_dates=panel.trading_dates[ends],
        session_minutes=panel.session_minutes[ends],
        sectors=panel.sectors[:, ends],
    )
    with pytest.raises(UserError, match="not daily"):
        refuse_other_intervals(monthly)
    stamps = panel.timestamps[0] + np.arange(panel.n_bars) * np.timedelta64(5, "m")
    five_minutes = replace(
        panel, timestamps=stamps, trading_dates=stamps.astype("M8[D]")
    )
    with pytest.raises(UserError, match=r"data\.interval 1d"):
        refuse_other_intervals(five_minutes)
    with pytest.raises(UserError, match="not daily"):
        refuse_other_intervals(panel.cut(slice(0, 1)))
