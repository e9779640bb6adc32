"""Row ranks by hand, and groups of rows against scipy, group by group."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata

from ranking_pipeline.row_ranks import (
    Groups,
    average_ranks,
    percentile_ranks,
    percentile_ranks_within,
)


def test_percentile_ranks_by_hand() -> None:
    got = percentile_ranks(np.array([[3.0, 1, 1, np.nan]]))
    np.testing.assert_array_equal(got, [[3 / 4, 1.5 / 4, 1.5 / 4, np.nan]])


def test_groups_by_hand() -> None:
    keys = np.array([7, 2, 7, 2, 7, 9])
    values = np.array([5.0, 1, 5, 0, np.nan, np.inf])
    got = percentile_ranks_within(values, keys)
    expected = [1.5 / 3, 2 / 3, 1.5 / 3, 1 / 3, np.nan, np.nan]
    np.testing.assert_array_equal(got, expected)


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 4)), max_size=40))
def test_groups_equal_scipy(rows: list[tuple[int, int]]) -> None:
    keys = np.array([key for key, _ in rows], dtype=np.intp)
    values = np.array([value for _, value in rows], dtype=np.float64)
    rank, size = average_ranks(values, keys)
    for key in np.unique(keys):
        own = keys == key
        np.testing.assert_array_equal(rank[own], rankdata(values[own]))
        assert (size[own] == own.sum()).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_width_of_a_number_changes_no_rank(dtype: type) -> None:
    values = np.random.default_rng(0).normal(size=200).round(1).astype(dtype)
    bars = np.arange(200) // 20
    grid = percentile_ranks(values.reshape(10, 20).astype(np.float64))
    got = Groups.of(bars).percentile_ranks(values)
    np.testing.assert_array_equal(got.reshape(10, 20), grid)
