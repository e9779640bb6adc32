"""Average uniqueness of overlapping labels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranking_pipeline.labels import average_uniqueness


def _plain(
    bars: np.ndarray, ends: np.ndarray, symbols: np.ndarray, lag: int
) -> np.ndarray:
    spans = [
        set(range(bar + lag + 1, end + 1)) if end >= 0 else set()
        for bar, end in zip(bars, ends, strict=True)
    ]
    weights = []
    for i, own in enumerate(spans):
        same = [spans[j] for j in range(len(spans)) if symbols[j] == symbols[i]]
        shares = [1 / sum(bar in span for span in same) for bar in own]
        weights.append(np.mean(shares) if shares else np.nan)
    return np.array(weights)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**31), lag=st.integers(0, 3), n=st.integers(1, 40))
def test_equals_the_plain_reference(seed: int, lag: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    bars = rng.integers(5, 30, n)
    ends = np.where(rng.random(n) < 0.15, -1, bars + lag + rng.integers(1, 9, n))
    symbols = rng.choice([3, 7, 8], n)
    found = average_uniqueness(bars, ends, symbols, lag)
    np.testing.assert_allclose(found, _plain(bars, ends, symbols, lag), rtol=1e-12)


def test_uniqueness_by_hand() -> None:
    # Returns 2 3 | 3 4 | 4 5 of one symbol, and 3 4 of another one.
    bars, ends = np.array([0, 1, 2, 1]), np.array([3, 4, 5, 4])
    found = average_uniqueness(bars, ends, np.array([0, 0, 0, 1]), 1)
    np.testing.assert_allclose(found, [0.75, 0.5, 0.75, 1.0])


def test_labels_of_one_bar_are_unique() -> None:
    bars = np.arange(20)
    assert (average_uniqueness(bars, bars + 2, np.zeros(20, int), 1) == 1.0).all()


def test_rounding_makes_no_label_more_than_unique() -> None:
    rng = np.random.default_rng(0)
    for _ in range(30):
        bars, symbols = rng.integers(0, 300, 400), rng.integers(0, 40, 400)
        ends = bars + 1 + rng.integers(1, 9, 400)
        assert average_uniqueness(bars, ends, symbols, 1).max() <= 1.0


def test_a_label_at_every_bar_has_one_over_the_horizon_of_its_own() -> None:
    bars = np.arange(60)
    found = average_uniqueness(bars, bars + 6, np.zeros(60, int), 1)
    np.testing.assert_allclose(found[4:-4], 1 / 5)
    assert found[0] > found[1] > found[2] > found[4]


def test_weights_depend_on_the_rows_they_are_computed_on() -> None:
    """Why a fit computes them on its own rows: later labels lower the last weights."""
    bars, symbols = np.arange(30), np.zeros(30, int)
    train = bars < 20
    alone = average_uniqueness(bars[train], bars[train] + 6, symbols[train], 1)
    beside = average_uniqueness(bars, bars + 6, symbols, 1)[train]
    np.testing.assert_array_equal(alone[:16], beside[:16])
    assert (alone[16:] > beside[16:]).all()


def test_unknown_labels_have_no_weight_and_crowd_nobody() -> None:
    bars, symbols = np.array([0, 1]), np.array([0, 0])
    found = average_uniqueness(bars, np.array([4, -1]), symbols, 0)
    assert found[0] == 1.0
    assert np.isnan(found[1])
    assert np.isnan(average_uniqueness(bars, np.array([-1, -1]), symbols, 0)).all()
    assert average_uniqueness(bars[:0], bars[:0], bars[:0], 0).shape == (0,)


def test_a_label_without_a_return_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="entry_lag_bars"):
        average_uniqueness(np.array([3]), np.array([4]), np.array([0]), 1)
