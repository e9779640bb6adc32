"""Walk-forward: windows by hand, and what they may never do on any calendar."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plan_examples import business_days, five_minutes, training_config

from ranking_pipeline.routing.walk_forward import (
    PlannedWindow,
    TimeAxis,
    plan_windows,
)
from ranking_pipeline.splits import make_splits
from ranking_pipeline.training.config import WalkForwardConfig
from ranking_pipeline.training.window import WindowBars


def refits(months: int | None, train: int | None = None) -> WalkForwardConfig:
    return training_config(refit_months=months, train_months=train).walk_forward


def test_windows_by_hand() -> None:
    # 520 business days from 2 January 2019; validation begins at bar 364
    axis = business_days(embargo=2)
    assert axis.stamp(364)[:10] == "2020-05-26"
    windows = plan_windows(axis, refits(3))
    dates = [window.dates(axis) for window in windows]
    assert [window.number for window in windows] == [1, 2, 3]
    assert [(day["predict_start"][:10], day["predict_end"][:10]) for day in dates] == [
        ("2020-05-26", "2020-07-31"),
        ("2020-08-03", "2020-10-30"),
        ("2020-11-02", axis.stamp(519)[:10]),
    ]
    # two bars of embargo lie between the last label and the first prediction
    assert [day["train_end"][:10] for day in dates] == [
        "2020-05-21",
        "2020-07-29",
        "2020-10-28",
    ]
    assert {day["train_start"][:10] for day in dates} == {"2019-01-02"}
    rolling = [w.dates(axis) for w in plan_windows(axis, refits(3, 6))]
    assert [day["train_start"][:10] for day in rolling] == [
        "2019-11-01",
        "2020-02-03",
        "2020-05-01",
    ]


def test_without_refits_there_is_the_split() -> None:
    axis = business_days(embargo=2)
    train, validation = axis.splits.train, axis.splits.validation
    bars = WindowBars(0, train.last_bar - 2, validation.first_bar, 519)
    assert plan_windows(axis, refits(None)) == [PlannedWindow(0, bars)]


def test_months_are_those_of_the_trading_date() -> None:
    axis = five_minutes()
    utc = axis.timestamps.astype("M8[D]")
    assert (utc > axis.trading_dates).all()
    windows = plan_windows(axis, refits(1))
    months = axis.trading_dates.astype("M8[M]")
    for window in windows:
        inside = months[window.bars.predict_first : window.bars.predict_last + 1]
        assert len(np.unique(inside)) == 1
    assert len(windows) == len(np.unique(months[axis.splits.validation.first_bar :]))


def _axis(seed: int, n_bars: int, embargo: int) -> TimeAxis:
    """Bars on random days, several on some of them, months left out."""
    random = np.random.default_rng(seed)
    steps = random.choice([0, 1, 1, 1, 2, 3, 45], size=n_bars)
    dates = np.datetime64("2018-01-15", "D") + np.cumsum(steps)
    minutes = (np.arange(n_bars) % 400 + 600).astype("m8[m]")
    stamps = np.sort(dates.astype("M8[ns]") + minutes)
    stamps += np.arange(n_bars).astype("m8[ns]")  # strictly increasing
    splits = make_splits(stamps, 0.6, 0.2, embargo)
    return TimeAxis(stamps, dates, splits)


@settings(deadline=None, max_examples=150)
@given(
    seed=st.integers(0, 10_000),
    n_bars=st.integers(40, 200),
    embargo=st.integers(0, 5),
    months=st.integers(1, 7),
    train_months=st.one_of(st.none(), st.integers(1, 24)),
    horizon=st.integers(1, 30),
    share=st.floats(0, 0.5),
)
def test_no_label_is_learned_that_ends_in_or_after_what_is_predicted(
    seed: int,
    n_bars: int,
    embargo: int,
    months: int,
    train_months: int | None,
    horizon: int,
    share: float,
) -> None:
    axis = _axis(seed, n_bars, embargo)
    random = np.random.default_rng(seed)
    bars = np.repeat(np.arange(n_bars), 2)
    ends = bars + random.integers(1, horizon + 1, size=len(bars))
    ends[(ends >= n_bars) | (random.random(len(bars)) < 0.1)] = -1
    windows = plan_windows(axis, refits(months, train_months))
    predicted = np.zeros(n_bars, dtype=int)
    by_month = axis.trading_dates.astype("M8[M]")
    for window in windows:
        place = window.bars
        predicted[place.predict_first : place.predict_last + 1] += 1
        fit, held_out = place.parted(bars, ends, share, embargo)
        learned = fit | held_out
        assert (ends[learned] + embargo < place.predict_first).all()
        assert (bars[learned] >= place.train_first).all()
        assert not (fit & held_out).any()
        if held_out.any():
            # nothing fitted is known later than the first bar held out
            assert (ends[fit] + embargo < bars[held_out].min()).all()
        span = by_month[place.predict_first : place.predict_last + 1].astype(int)
        assert span[-1] - span[0] < months
        if train_months is not None and learned.any():
            first = by_month[bars[learned].min()].astype(int)
            assert span[0] - first <= train_months
    first = axis.splits.validation.first_bar
    assert (predicted[first:] == 1).all()
    assert not predicted[:first].any()


def test_parting_by_hand() -> None:
    window = WindowBars(train_first=2, train_last=11, predict_first=13, predict_last=20)
    bars = np.arange(14)
    ends = bars + 2
    ends[3] = -1
    known = window.known(bars, ends)
    assert np.flatnonzero(known).tolist() == [2, 4, 5, 6, 7, 8, 9]
    # a fifth of ten bars is held out: bars 10 and 11 have no known label
    fit, held_out = window.parted(bars, ends, 0.2, 0)
    assert np.flatnonzero(fit).tolist() == [2, 4, 5, 6, 7]
    assert not held_out.any()
    fit, held_out = window.parted(bars, ends, 0.5, 1)
    assert np.flatnonzero(fit).tolist() == [2]
    assert np.flatnonzero(held_out).tolist() == [7, 8, 9]
    fit, held_out = window.parted(bars, ends, 0.0, 1)
    assert (fit == known).all()
    assert not held_out.any()


def test_a_span_without_bars_shrinks_to_one() -> None:
    """Nothing was traded in the months before: the window is planned, and skipped."""
    days = pd.bdate_range("2020-01-02", periods=30).append(
        pd.bdate_range("2021-01-04", periods=30)
    )
    stamps = days.to_numpy().astype("M8[ns]")
    axis = TimeAxis(stamps, stamps.astype("M8[D]"), make_splits(stamps, 0.5, 0.2, 2))
    first = plan_windows(axis, refits(1, 1))[0].bars
    assert (first.train_first, first.train_last) == (27, 27)


def test_parameters_have_limits() -> None:
    for wrong in ({"refit_months": 0}, {"train_months": 0}, {"validation_share": 0.6}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            training_config(**wrong)
