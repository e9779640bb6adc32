"""Samples: thinning keeps whole bars, spread evenly in time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranking_pipeline.models.samples import Samples, thin, thin_bars

Samplers = Callable[..., tuple[Samples, Samples, Any]]


@pytest.mark.parametrize(
    ("max_rows", "kept"),
    [
        (9, [0, 1, 2, 3, 4, 5, 6, 7, 8]),
        (6, [0, 1, 2, 6, 7, 8]),
        (5, [3, 4, 5]),
        (1, [3, 4, 5]),  # one bar stays, whatever its size
    ],
)
def test_by_hand(max_rows: int, kept: list[int]) -> None:
    bars = np.array([2, 2, 2, 5, 5, 5, 9, 9, 9])
    assert thin_bars(bars, max_rows).tolist() == kept


@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=60),
    st.integers(1, 100),
)
def test_whole_bars_and_no_more_rows_than_asked_for(
    sizes: list[int], max_rows: int
) -> None:
    bars = np.repeat(np.arange(len(sizes)) * 3, sizes)
    kept = bars[thin_bars(bars, max_rows)]
    assert len(kept) <= max_rows or len(np.unique(kept)) == 1
    assert all((kept == bar).sum() == (bars == bar).sum() for bar in kept)


def test_rows_are_spread_evenly_and_all_stay_where_there_is_room(
    samples: Samplers,
) -> None:
    train, _, _ = samples("regression")
    few = thin(train, len(train) // 4)
    assert 0.8 * len(train) // 4 < len(few) <= len(train) // 4
    gaps = np.diff(np.unique(few.bars))
    assert gaps.min() >= 3
    assert gaps.max() <= 5
    assert thin(train, len(train)) is train
