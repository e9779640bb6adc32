"""Purge and embargo: every pair of a training and a test row, one by one."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ranking_pipeline.audit.purging import check_blocks, check_folds
from ranking_pipeline.errors import UserError
from ranking_pipeline.splits import (
    CombinatorialPurged,
    PurgedWalkForward,
    make_splits,
    purged_folds,
)

Rows = tuple[np.ndarray, np.ndarray]


@st.composite
def rows(draw: st.DrawFn) -> Rows:
    """Rows of a gapped calendar: several a bar, horizons of several lengths."""
    n_bars = draw(st.integers(24, 60))
    seed = draw(st.integers(0, 2**31))
    random = np.random.default_rng(seed)
    bars = np.sort(random.integers(0, n_bars, draw(st.integers(60, 200))))
    bars = bars[~np.isin(bars, random.integers(0, n_bars, 4))]
    ends = bars + draw(st.integers(0, 2)) + random.integers(1, 7, len(bars))
    ends[ends >= n_bars] = -1
    return bars, ends


def plainly_wrong(
    first: tuple[int, int], second: tuple[int, int], embargo: int
) -> bool:
    """A training row (bar, end) and a test row: is there a leak between them?"""
    bar, end = first
    test_bar, test_end = second[0], max(second)
    if end < 0:
        return True
    if bar < test_bar:
        return end + embargo >= test_bar
    return bar <= test_end + embargo


@settings(max_examples=60, deadline=None)
@given(rows=rows(), embargo=st.integers(0, 3), seed=st.integers(0, 2**31))
def test_the_check_counts_what_a_plain_loop_counts(
    rows: Rows, embargo: int, seed: int
) -> None:
    bars, ends = rows
    side = np.random.default_rng(seed).integers(0, 3, len(bars))
    fold = np.flatnonzero(side == 0), np.flatnonzero(side == 1)
    check = check_folds([fold], bars, ends, embargo)
    wrong = sum(
        plainly_wrong((bars[i], ends[i]), (bars[j], ends[j]), embargo)
        for i in fold[0]
        for j in fold[1]
    )
    assert (check.compared, check.different) == (len(fold[0]) * len(fold[1]), wrong)
    assert (check.verdict == "clean") == (wrong == 0)


@settings(max_examples=60, deadline=None)
@given(rows=rows(), embargo=st.integers(0, 3), n_folds=st.integers(1, 4))
def test_walk_forward_folds_are_clean(rows: Rows, embargo: int, n_folds: int) -> None:
    bars, ends = rows
    try:
        folds = purged_folds(bars, ends, n_folds, embargo)
    except UserError:
        return  # nothing is left to train on
    check = check_folds(folds, bars, ends, embargo)
    assert check.verdict == "clean", check.worst
    assert check.compared == sum(len(a) * len(b) for a, b in folds) > 0


@settings(max_examples=40, deadline=None)
@given(rows=rows(), embargo=st.integers(0, 2), tested=st.integers(1, 2))
def test_combinatorial_folds_are_clean_on_both_sides(
    rows: Rows, embargo: int, tested: int
) -> None:
    bars, ends = rows
    splitter = CombinatorialPurged(
        bars, ends, n_groups=4, n_test_groups=tested, embargo_bars=embargo
    )
    try:
        folds = list(splitter.split(bars))
    except UserError:
        return
    check = check_folds(folds, bars, ends, embargo)
    assert check.verdict == "clean", check.worst


@settings(max_examples=60, deadline=None)
@given(rows=rows(), embargo=st.integers(0, 3))
def test_blocks_are_clean(rows: Rows, embargo: int) -> None:
    bars, ends = rows
    n_bars = int(bars.max()) + 1
    stamps = np.datetime64("2020-01-01", "ns") + np.arange(n_bars) * np.timedelta64(
        1, "D"
    )
    splits = make_splits(stamps, 0.6, 0.2, min(embargo, 2))
    check = check_blocks(splits, bars, ends)
    assert check.different == 0, check.worst


def test_a_gap_counted_in_rows_leaks() -> None:
    """What a splitter by rows does on a stacked panel: five rows are not five bars."""
    from sklearn.model_selection import TimeSeriesSplit

    n_symbols, n_bars, horizon = 50, 120, 5
    bars = np.repeat(np.arange(n_bars), n_symbols)
    ends = np.where(bars + horizon < n_bars, bars + horizon, -1)
    known = np.flatnonzero(ends >= 0)
    folds = list(TimeSeriesSplit(5, gap=horizon).split(known))
    check = check_folds(folds, bars[known], ends[known], 0)
    assert check.verdict == "looks ahead"
    assert check.different > 1000
    ours = PurgedWalkForward(n_folds=5, embargo_bars=0)
    pairs = np.stack([bars[known], ends[known]], axis=1)
    clean = check_folds(
        list(ours.split(known, groups=pairs)), bars[known], ends[known], 0
    )
    assert clean.verdict == "clean"


def test_the_worst_pair_is_named() -> None:
    bars, ends = np.arange(6), np.arange(6) + 2
    fold = np.array([0, 1, 2]), np.array([4, 5])
    check = check_folds([fold], bars, ends, 0)
    assert check.different == 1
    assert check.worst == (
        "folds 1: the training row of bar 2, whose label is known at bar 4, meets the "
        "test row of bar 4 (embargo 0)"
    )


def test_a_row_on_both_sides_is_wrong() -> None:
    both = np.array([3])
    assert check_folds([(both, both)], np.arange(6), np.arange(6) + 1, 0).different == 1
