"""Folds against an oracle that compares every training row with every test row."""

from __future__ import annotations

import doctest
from collections.abc import Iterable
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranking_pipeline import folds as folds_module
from ranking_pipeline.errors import UserError
from ranking_pipeline.splits import (
    CombinatorialPurged,
    PurgedWalkForward,
    combinatorial_folds,
    purged_folds,
)

Fold = tuple[np.ndarray, np.ndarray]


def _calendar(seed: int, n_bars: int, longest: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows in any order: bars that nobody has, symbols that lack some, uneven labels."""
    rng = np.random.default_rng(seed)
    present = np.flatnonzero(rng.random(n_bars) < 0.8)
    bars = np.repeat(present, 3)[rng.random(3 * len(present)) < 0.8]
    ends = bars + rng.integers(1, longest + 1, len(bars))
    ends = np.where(rng.random(len(bars)) < 0.05, -1, ends)
    order = rng.permutation(len(bars))
    return bars[order], ends[order]


def _meet(i: int, j: int, bars: np.ndarray, ends: np.ndarray, embargo: int) -> bool:
    """Whether the labels of two rows meet, or lie closer than the embargo."""
    apart_before = ends[i] + embargo < bars[j]
    apart_after = bars[i] > max(ends[j], bars[j]) + embargo
    return not (apart_before or apart_after)


def _violations(
    folds: Iterable[Fold], bars: np.ndarray, ends: np.ndarray, embargo: int
) -> int:
    return sum(
        _meet(i, j, bars, ends, embargo)
        for train, test in folds
        for i in train
        for j in test
    )


def _usable(
    test: np.ndarray, bars: np.ndarray, ends: np.ndarray, embargo: int
) -> set[int]:
    """All rows outside the test that meet no row of it."""
    outside = set(range(len(bars))) - set(test.tolist())
    return {
        i
        for i in outside
        if ends[i] >= 0 and not any(_meet(i, j, bars, ends, embargo) for j in test)
    }


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    n_bars=st.integers(60, 90),
    n_folds=st.integers(1, 4),
    embargo=st.integers(0, 3),
    longest=st.integers(1, 6),
)
def test_walk_forward_equals_the_oracle(
    seed: int, n_bars: int, n_folds: int, embargo: int, longest: int
) -> None:
    bars, ends = _calendar(seed, n_bars, longest)
    folds = purged_folds(bars, ends, n_folds, embargo)
    assert len(folds) == n_folds
    assert _violations(folds, bars, ends, embargo) == 0
    for train, test in folds:
        first = bars[test].min()
        earlier = {i for i in _usable(test, bars, ends, embargo) if bars[i] < first}
        assert set(train.tolist()) == earlier
        assert bars[train].max() < first
    tested = np.concatenate([test for _, test in folds])
    assert len(np.unique(tested)) == len(tested)
    assert bars[tested].max() == bars.max()
    sizes = [len(np.unique(bars[test])) for _, test in folds]
    assert max(sizes) - min(sizes) <= 1


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    n_bars=st.integers(60, 90),
    groups=st.sampled_from([(2, 1), (4, 1), (4, 2), (5, 2), (5, 3)]),
    embargo=st.integers(0, 3),
    longest=st.integers(1, 5),
)
def test_combinatorial_equals_the_oracle(
    seed: int, n_bars: int, groups: tuple[int, int], embargo: int, longest: int
) -> None:
    bars, ends = _calendar(seed, n_bars, longest)
    folds = list(combinatorial_folds(bars, ends, *groups, embargo))
    assert len(folds) == comb(*groups)
    assert _violations(folds, bars, ends, embargo) == 0
    for train, test in folds:
        assert set(train.tolist()) == _usable(test, bars, ends, embargo)
    times_tested = np.bincount(np.concatenate([test for _, test in folds]))
    assert (times_tested == comb(groups[0] - 1, groups[1] - 1)).all()


def test_the_oracle_has_teeth() -> None:
    """A gap counted in rows of a stacked panel leaks; the oracle sees it."""
    from sklearn.model_selection import TimeSeriesSplit

    horizon, n_symbols = 5, 50
    bars = np.repeat(np.arange(61), n_symbols)
    ends = bars + horizon
    leaky = list(TimeSeriesSplit(5, gap=horizon).split(bars))
    assert _violations(leaky[:1], bars, ends, 0) > 0
    in_test = sum(int((bars[train] == bars[test].min()).sum()) for train, test in leaky)
    assert in_test > 0  # some rows train on the very bar that is tested
    ours = purged_folds(bars, ends, 2, 0)
    assert _violations(ours[:1], bars, ends, 0) == 0


def test_the_purge_begins_where_the_first_test_label_begins() -> None:
    """Not where it ends: rows known in between know a part of that label."""
    bars = np.arange(30)
    ends = bars + 1
    ends[20] = 26  # the first label of the test, a long one
    ends[17] = 22  # known after the test began, before its first label is known
    (train, test), *_ = combinatorial_folds(bars, ends, 3, 1, 0)
    (_, _), (train, test) = purged_folds(bars, ends, 2, 0)
    assert test.tolist() == list(range(20, 30))
    assert train.tolist() == [*range(17), 18]
    late = np.flatnonzero((bars < 20) & (ends < ends[test[0]]))
    assert 17 in late
    assert _violations([(late, test)], bars, ends, 0) > 0


def test_both_edges_by_hand() -> None:
    bars = np.arange(30)
    ends = bars + 3
    folds = list(combinatorial_folds(bars, ends, 3, 1, 2))
    train, test = folds[1]
    assert test.tolist() == list(range(10, 20))
    # Known at 7 with 2 bars free; the last label of the test is known at 22.
    assert train.tolist() == [*range(5), *range(25, 30)]
    assert folds[0][0].tolist() == list(range(15, 30))
    assert folds[2][0].tolist() == list(range(15))


def test_the_longest_label_of_the_test_counts_and_not_the_last() -> None:
    bars = np.arange(20)
    ends = bars + 1
    ends[6] = 15
    train, _ = next(combinatorial_folds(bars, ends, 2, 1, 0))
    assert train.tolist() == [16, 17, 18, 19]


def test_a_look_back_is_not_purged() -> None:
    """Rows right after the last label of a test are trained on, whatever they saw."""
    bars = np.arange(30)
    train, _ = list(combinatorial_folds(bars, bars + 1, 3, 1, 0))[1]
    assert train.tolist() == [*range(9), *range(21, 30)]


def test_folds_count_bars_and_not_rows() -> None:
    bars = np.r_[np.zeros(1000, int), np.arange(1, 30)]
    folds = purged_folds(bars, bars + 1, 2, 0)
    assert [bars[test].min() for _, test in folds] == [10, 20]
    assert [bars[train].max() for train, _ in folds] == [8, 18]


def test_impossible_folds() -> None:
    bars = np.arange(10)
    with pytest.raises(UserError, match="there are 10 bars"):
        purged_folds(bars, bars + 1, 5, 0)
    with pytest.raises(UserError, match="0 folds"):
        purged_folds(bars, bars + 1, 0, 0)
    with pytest.raises(UserError, match="no label of fold 1 of 2"):
        purged_folds(bars, bars + 6, 2, 0)
    with pytest.raises(UserError, match="embargo_bars -1 is negative"):
        purged_folds(bars, bars + 1, 2, -1)
    with pytest.raises(UserError, match="9 labels end before their decision"):
        purged_folds(bars, bars - 1, 2, 0)
    with pytest.raises(UserError, match="10 bars but 9 label ends"):
        purged_folds(bars, bars[1:], 2, 0)
    for n_test in (0, 4):
        with pytest.raises(UserError, match=f"{n_test} test groups of 4"):
            list(combinatorial_folds(bars, bars + 1, 4, n_test, 0))
    with pytest.raises(UserError, match=r"no label of test groups \(0,\) of 2"):
        list(combinatorial_folds(bars, bars + 9, 2, 1, 0))


def test_paths_test_every_group_once() -> None:
    splitter = CombinatorialPurged(n_groups=6, n_test_groups=2, embargo_bars=0)
    paths = splitter.paths()
    assert paths.shape == (5, 6)
    assert splitter.get_n_splits() == 15
    assert np.bincount(paths.ravel()).tolist() == [2] * 15
    bars = np.arange(60)
    folds = list(
        CombinatorialPurged(
            bars, bars + 1, n_groups=6, n_test_groups=2, embargo_bars=0
        ).split(bars)
    )
    for path in paths:
        for group, fold in enumerate(path):
            assert set(range(10 * group, 10 * group + 10)) <= set(folds[fold][1])


def test_splitters_work_in_scikit_learn() -> None:
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import GridSearchCV, cross_val_score

    rng = np.random.default_rng(0)
    bars = np.repeat(np.arange(60), 4)
    ends = bars + 3
    features = rng.normal(size=(len(bars), 3))
    target = features[:, 0] + 0.1 * rng.normal(size=len(bars))
    walk = PurgedWalkForward(bars, ends, n_folds=3, embargo_bars=1)
    both_sides = CombinatorialPurged(
        bars, ends, n_groups=4, n_test_groups=2, embargo_bars=1
    )
    for splitter, n_folds in ((walk, 3), (both_sides, 6)):
        assert splitter.get_n_splits(features, target) == n_folds
        scores = cross_val_score(Ridge(), features, target, cv=splitter)
        assert len(scores) == n_folds
        assert scores.min() > 0.9
    bare = PurgedWalkForward(n_folds=3, embargo_bars=1)
    groups = np.column_stack([bars, ends])
    by_groups = cross_val_score(Ridge(), features, target, cv=bare, groups=groups)
    np.testing.assert_array_equal(
        by_groups, cross_val_score(Ridge(), features, target, cv=walk)
    )
    search = GridSearchCV(Ridge(), {"alpha": [0.1, 1e4]}, cv=walk)
    assert search.fit(features, target).best_params_ == {"alpha": 0.1}
    folds = purged_folds(bars, ends, 3, 1)
    for (a, b), (c, d) in zip(walk.split(features), folds, strict=True):
        np.testing.assert_array_equal(a, c)
        np.testing.assert_array_equal(b, d)


def test_splitters_name_what_they_lack() -> None:
    bars = np.arange(20)
    bare = PurgedWalkForward(n_folds=2, embargo_bars=0)
    with pytest.raises(UserError, match="give bars and label_end"):
        list(bare.split(bars))
    with pytest.raises(UserError, match=r"groups have the shape \(20,\)"):
        list(bare.split(bars, groups=bars))
    walk = PurgedWalkForward(bars, bars + 1, n_folds=2, embargo_bars=0)
    with pytest.raises(UserError, match="10 samples but 20 bars"):
        list(walk.split([0] * 10))


def test_the_examples_are_true() -> None:
    assert doctest.testmod(folds_module).failed == 0
