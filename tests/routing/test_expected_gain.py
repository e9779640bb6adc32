"""Expected gain: the mixture is found, and estimates are drawn to where it has mass."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranking_pipeline.routing.expected_gain import FEWEST_SYMBOLS, expected_values


def slow_expected_values(estimates: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """The same with a loop over symbols and points."""
    points = np.linspace(estimates.min(), estimates.max(), 61)
    share = [1 / 61] * 61
    weights: list[list[float]] = []
    for round_ in range(401):
        weights = []
        for value, error in zip(estimates, errors, strict=True):
            row = [
                s * np.exp(-0.5 * ((value - x) / error) ** 2)
                for s, x in zip(share, points, strict=True)
            ]
            weights.append([w / sum(row) for w in row])
        if round_ < 400:
            share = list(np.mean(weights, axis=0))
    return np.array([np.dot(row, points) for row in weights])


@pytest.mark.slow
def test_equals_the_slow_reference() -> None:
    rng = np.random.default_rng(0)
    estimates, errors = rng.normal(0, 0.1, 22), rng.uniform(0.03, 0.08, 22)
    found = expected_values(estimates, errors)
    np.testing.assert_allclose(
        found, slow_expected_values(estimates, errors), rtol=1e-9
    )


def test_a_lucky_member_of_the_heap_is_told_from_a_reversed_symbol() -> None:
    rng = np.random.default_rng(1)
    true = np.r_[np.full(88, -0.05), np.full(8, 0.27)]
    estimates = true + rng.normal(0, 0.05, 96)
    estimates[0] = 0.06  # alone, a gain at t 1.2
    found = expected_values(estimates, np.full(96, 0.05))
    assert found[0] < 0
    assert (found[:88] < 0).all()
    np.testing.assert_allclose(found[88:], 0.27, atol=0.1)


def test_estimates_alike_are_drawn_to_one_value() -> None:
    rng = np.random.default_rng(2)
    found = expected_values(0.02 + rng.normal(0, 0.05, 300), np.full(300, 0.05))
    assert found.std() < 0.02
    assert abs(found.mean() - 0.02) < 0.01


def test_better_than_the_estimates_where_thirds_differ() -> None:
    rng = np.random.default_rng(3)
    true = np.repeat([-0.06, 0.0, 0.18], 100)
    estimates = true + rng.normal(0, 0.045, 300)
    found = expected_values(estimates, np.full(300, 0.045))
    assert ((found - true) ** 2).mean() < 0.6 * ((estimates - true) ** 2).mean()


def test_few_or_unmeasured_symbols_have_no_expectation() -> None:
    few = FEWEST_SYMBOLS - 1
    assert np.isnan(expected_values(np.arange(few) / 10, np.ones(few))).all()
    estimates, errors = np.arange(30) / 10, np.full(30, 0.5)
    estimates[3], errors[5], errors[7] = np.nan, 0.0, np.nan
    found = expected_values(estimates, errors)
    assert np.flatnonzero(np.isnan(found)).tolist() == [3, 5, 7]


def test_exact_estimates_stay_and_far_ones_do_not_break() -> None:
    estimates = np.linspace(-1, 1, 61)
    found = expected_values(estimates, np.full(61, 1e-3))
    np.testing.assert_allclose(found, estimates, atol=1e-6)
    estimates[0] = -1e6
    assert np.isfinite(expected_values(estimates, np.full(61, 1e-3))).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.01, 100.0), st.floats(-5.0, 5.0))
def test_scale_shift_and_order_play_no_part(
    seed: int, scale: float, shift: float
) -> None:
    rng = np.random.default_rng(seed)
    estimates, errors = rng.normal(0, 0.1, 25), rng.uniform(0.02, 0.1, 25)
    found = expected_values(estimates, errors)
    assert estimates.min() <= found.min() <= found.max() <= estimates.max()
    moved = expected_values(scale * estimates + shift, scale * errors)
    np.testing.assert_allclose(
        moved, scale * found + shift, rtol=1e-4, atol=1e-4 * scale
    )
    order = rng.permutation(25)
    np.testing.assert_allclose(
        expected_values(estimates[order], errors[order]),
        found[order],
        rtol=1e-6,
        atol=1e-9,
    )
