"""The composite of a sector, worked by hand, and its two tails."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ranking_pipeline.portfolio.candidates.composite import (
    legacy_composite,
    percentile_composite,
    sector_percentiles,
)
from ranking_pipeline.portfolio.candidates.config import CompositeWeights
from ranking_pipeline.portfolio.candidates.legs import capped, sector_legs

WEIGHTS = CompositeWeights(momentum=0.5, moving_average=0.3, volatility=0.2)
# Five columns, of which the last is of another sector.
MOMENTUM = np.array([[0.10, -0.05, 0.30, 0.00, 9.0]])
SLOPE = np.array([[0.01, 0.02, 0.02, -0.01, 9.0]])
VOLATILITY = np.array([[0.02, 0.01, np.nan, 0.03, 9.0]])
OWN = np.array([[True, True, True, True, False]])


def test_a_sector_of_four_worked_by_hand() -> None:
    places = sector_percentiles(MOMENTUM, SLOPE, VOLATILITY, OWN)
    np.testing.assert_allclose(places.momentum[0, :4], [0.6, 0.2, 0.8, 0.4])
    np.testing.assert_allclose(places.ma_slope[0, :4], [0.4, 0.7, 0.7, 0.2])
    np.testing.assert_allclose(places.volatility[0, [0, 1, 3]], [0.5, 0.25, 0.75])
    composite = percentile_composite(places, MOMENTUM, SLOPE, WEIGHTS)
    # 0.5 momentum + 0.3 slope + 0.2 (1 - volatility), 0.5 where none is known
    by_hand = [
        0.30 + 0.12 + 0.2 * 0.50,
        0.10 + 0.21 + 0.2 * 0.75,
        0.40 + 0.21 + 0.2 * 0.50,
        0.20 + 0.06 + 0.2 * 0.25,
    ]
    np.testing.assert_allclose(composite[0, :4], by_hand)
    assert np.isnan(composite[0, 4])


def test_the_mix_of_scales_worked_by_hand() -> None:
    places = sector_percentiles(MOMENTUM, SLOPE, VOLATILITY, OWN)
    mix = legacy_composite(places, MOMENTUM, SLOPE, WEIGHTS)
    own = MOMENTUM[0, :4]
    z = (own - own.mean()) / own.std(ddof=1)
    by_hand = 0.5 * z + 0.3 * SLOPE[0, :4] + 0.2 * np.array([0.5, 0.75, 0.5, 0.25])
    np.testing.assert_allclose(mix[0, :4], by_hand)
    assert np.isnan(mix[0, 4])
    flat = np.where(OWN, 0.1, 9.0)
    still = legacy_composite(places, flat, SLOPE, WEIGHTS)
    np.testing.assert_allclose(still[0, :4], by_hand - 0.5 * z)


def test_both_tails_and_their_ranks_worked_by_hand() -> None:
    scores = np.array([[0.2, 0.9, np.nan, 0.9, 0.1, 0.5, 0.1, 0.6]])  # seven names
    legs = sector_legs(scores, top_ratio=0.3, bottom_ratio=0.45)
    # ties by column: 1, 3, 7, 5, 0, 4, 6; two at the top, three at the bottom
    assert legs.long.tolist() == [[0, 1, 0, 2, 0, 0, 0, 0]]
    assert legs.short.tolist() == [[3, 0, 0, 0, 2, 0, 1, 0]]


@pytest.mark.parametrize(
    ("n", "size"), [(0, 0), (1, 0), (2, 1), (6, 1), (7, 1), (13, 1), (14, 2), (20, 3)]
)
def test_tails_of_small_sectors(n: int, size: int) -> None:
    scores = np.full((1, 20), np.nan)
    scores[0, :n] = np.arange(n)
    legs = sector_legs(scores, 0.15, 0.15)
    assert (legs.long > 0).sum() == (legs.short > 0).sum() == size


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(np.float64, (3, 15), elements=st.sampled_from([0.0, 0.5, 1.0, np.nan])),
    st.floats(0.01, 0.5),
    st.floats(0.01, 0.5),
)
def test_tails_never_meet(scores: np.ndarray, top: float, bottom: float) -> None:
    legs = sector_legs(scores, top, bottom)
    long, short = legs.long > 0, legs.short > 0
    assert not (long & short).any()
    assert not ((long | short) & np.isnan(scores)).any()
    for month in range(len(scores)):
        n = int(np.isfinite(scores[month]).sum())
        for ranks, ratio in ((legs.long, top), (legs.short, bottom)):
            size = min(max(1, int(n * ratio + 1e-9)), n // 2)
            assert sorted(ranks[month][ranks[month] > 0]) == list(range(1, size + 1))
        if long[month].any():
            lowest = scores[month][long[month]].min()
            assert (scores[month][short[month]] <= lowest).all()


def test_the_cap_keeps_the_best_of_each_leg_over_all_sectors() -> None:
    scores = np.array([[0.9, 0.8, 0.2, 0.1, 0.7, 0.95, 0.3, 0.05]])
    one = np.where(np.arange(8) < 4, scores, np.nan)
    other = np.where(np.arange(8) < 4, np.nan, scores)
    legs = [sector_legs(part, 0.5, 0.5) for part in (one, other)]
    both = type(legs[0])(legs[0].long + legs[1].long, legs[0].short + legs[1].short)
    kept = capped(both, scores, 3)
    assert kept.long.tolist() == [[1, 2, 0, 0, 0, 1, 0, 0]]
    assert kept.short.tolist() == [[0, 0, 2, 1, 0, 0, 0, 1]]
    assert capped(both, scores, None) is both
