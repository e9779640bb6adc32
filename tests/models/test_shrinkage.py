"""Shrinkage by hand, its limits, and slopes with errors that allow for overlap."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ranking_pipeline.models.shrinkage import shrink
from ranking_pipeline.models.symbol_slopes import symbol_slopes


def test_equal_errors_give_the_estimator_of_james_and_stein() -> None:
    # mean 3, sum of squares 10, B = (5 - 3) * 1 / 10 = 0.2, tau² = 10 / 2 - 1 = 4
    found = shrink(np.arange(1.0, 6.0), np.ones(5))
    np.testing.assert_allclose(found.values, [1.4, 2.2, 3.0, 3.8, 4.6])
    assert found.mean == pytest.approx(3.0)
    assert found.tau == pytest.approx(2.0)


def test_a_known_mean_costs_one_parameter_less() -> None:
    # sum of squares around 0 is 55, B = (5 - 2) * 1 / 55
    found = shrink(np.arange(1.0, 6.0), np.ones(5), mean=0.0)
    np.testing.assert_allclose(found.values, np.arange(1.0, 6.0) * (1 - 3 / 55))


def test_spread_within_the_errors_gives_one_value() -> None:
    found = shrink(np.array([0.9, 1.0, 1.1, 1.0, 1.2]), np.full(5, 0.5))
    assert found.tau == 0
    np.testing.assert_array_equal(found.values, np.full(5, found.mean))


def test_missing_estimates_take_the_mean_and_few_are_not_told_apart() -> None:
    found = shrink(np.array([1.0, 2, 3, 4, 5, np.nan, 9]), np.r_[np.ones(6), 0.0])
    assert found.values[5] == found.values[6] == pytest.approx(3.0)
    assert shrink(np.array([1.0, 50.0, 99.0]), np.ones(3)).tau == 0
    alone = shrink(np.array([2.0]), np.array([1.0]))
    assert (alone.values[0], alone.tau) == (2.0, 0.0)
    nothing = shrink(np.full(3, np.nan), np.full(3, np.nan))
    np.testing.assert_array_equal(nothing.values, np.zeros(3))


@given(
    st.lists(st.tuples(st.floats(-5, 5), st.floats(0.1, 3.0)), min_size=5, max_size=40),
    st.floats(0.5, 4.0),
)
# Its plain iteration jumps to and fro over the root.
@example(pairs=[(0.0, 2.0)] * 5 + [(1.0, 1.0), (-2.0, 1.0)], unit=1.0)
def test_unequal_errors_solve_the_equation_of_moments(
    pairs: list[tuple[float, float]], unit: float
) -> None:
    estimates, errors = np.array(pairs).T
    found = shrink(estimates, errors)
    n, weight = len(estimates), 1 / (errors**2 + found.tau**2)
    excess = n / (n - 3) * (estimates - found.mean) ** 2 - errors**2
    balance = weight @ excess / weight.sum()
    if found.tau > 0.05:
        assert balance == pytest.approx(found.tau**2, rel=1e-3)
    low, high = np.minimum(estimates, found.mean), np.maximum(estimates, found.mean)
    assert ((found.values >= low - 1e-9) & (found.values <= high + 1e-9)).all()
    scaled = shrink(estimates * unit, errors * unit)
    np.testing.assert_allclose(scaled.values, found.values * unit, atol=1e-4 * unit)


def test_shrunk_values_are_nearer_to_the_truth() -> None:
    rng = np.random.default_rng(0)
    errors = rng.uniform(0.3, 1.5, 300)
    truth = 1.0 + 0.7 * rng.normal(size=300)
    estimates = truth + errors * rng.normal(size=300)
    found = shrink(estimates, errors)
    assert found.mean == pytest.approx(1.0, abs=0.15)
    assert found.tau == pytest.approx(0.7, abs=0.15)
    lost = ((found.values - truth) ** 2).mean()
    assert lost < 0.65 * ((estimates - truth) ** 2).mean()
    best = (1 / (1 / errors**2 + 1 / 0.7**2)).mean()
    assert lost == pytest.approx(best, rel=0.2)


def test_slopes_are_least_squares_and_errors_know_of_overlap() -> None:
    rng = np.random.default_rng(1)
    n_symbols, n_bars, window = 60, 800, 5
    slopes = []
    for _ in range(4):
        x = np.repeat(rng.normal(size=(n_symbols, n_bars // window)), window, axis=1)
        y = np.repeat(rng.normal(size=(n_symbols, n_bars // window)), window, axis=1)
        symbols = np.repeat(np.arange(n_symbols), n_bars)
        blocks = np.tile(np.arange(n_bars) // 10, n_symbols)
        slope, error = symbol_slopes(
            x.ravel(), y.ravel(), symbols, blocks, n_symbols + 1
        )
        plain = (x * y).sum(axis=1) / (x * x).sum(axis=1)
        np.testing.assert_allclose(slope[:-1], plain)
        assert np.isnan(slope[-1])
        assert np.isnan(error[-1])
        slopes.append(slope[:-1] / error[:-1])
    # errors of independent rows would be too small by the root of 5
    assert np.concatenate(slopes).std() == pytest.approx(1.0, abs=0.15)
