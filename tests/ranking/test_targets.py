"""Cross-sectional targets by hand and against slow references."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ranking_pipeline.errors import UserError
from ranking_pipeline.ranking.targets import (
    TargetSpec,
    cross_sectional_target,
    percentile_ranks,
    realized_volatility,
)

NAN = np.nan


def spec(**changes: object) -> TargetSpec:
    return TargetSpec(**({"min_symbols": 2} | changes))  # type: ignore[arg-type]


def test_percentile_by_hand() -> None:
    payoff = np.array([[0.02, -0.01, 0.02, NAN, 0.05]])
    got = cross_sectional_target(payoff, spec())
    np.testing.assert_allclose(got, [[0.5, 0.2, 0.5, NAN, 0.8]])


def test_percentile_bounds_the_label() -> None:
    payoff = np.arange(200.0)[None]
    got = cross_sectional_target(payoff, spec(winsorize=(0.05, 0.95)))
    assert (got.min(), got.max()) == (0.05, 0.95)
    free = cross_sectional_target(payoff, spec(winsorize=None))
    assert free.max() == pytest.approx(200 / 201)


def test_zscore_by_hand() -> None:
    payoff = np.array([[1.0, 2.0, 3.0, 4.0, 100.0]])
    got = cross_sectional_target(payoff, spec(type="cs_zscore", winsorize=None))
    unit = 1 / 1.4826
    np.testing.assert_allclose(got, [[-2 * unit, -unit, 0.0, unit, 3.0]])


def test_zscore_winsorises_payoffs_first() -> None:
    payoff = np.array([[0.0, 1.0, 2.0, 3.0, 4.0]])
    got = cross_sectional_target(
        payoff, spec(type="cs_zscore", winsorize=(0.25, 0.75), residualize="none")
    )
    # Clipped to 1, 1, 2, 3, 3: median 2, median absolute deviation 1.
    np.testing.assert_allclose(got * 1.4826, [[-1, -1, 0, 1, 1]])


def test_a_bar_of_mostly_equal_payoffs_has_no_zscore() -> None:
    payoff = np.array([[0.0, 0.0, 0.0, 1.0]])
    assert np.isnan(cross_sectional_target(payoff, spec(type="cs_zscore"))).all()


def test_vol_scaled_by_hand() -> None:
    close = np.array([[100.0, 100.0], [110.0, 101.0], [100.0, 100.0], [110.0, 101.0]])
    payoff = np.full((4, 2), 0.01)
    got = cross_sectional_target(
        payoff,
        spec(type="vol_scaled", winsorize=None, volatility_lookback=3),
        close=close,
    )
    assert np.isnan(got[:3]).all()
    volatility = np.diff(np.log(close), axis=0).std(axis=0, ddof=1)
    scaled = 0.01 / volatility
    np.testing.assert_allclose(got[3], scaled - scaled.mean())


def test_volatility_knows_nothing_later() -> None:
    close = np.exp(np.cumsum(np.random.default_rng(1).normal(0, 0.01, (60, 3)), axis=0))
    whole = realized_volatility(close, 20)
    changed = close.copy()
    changed[41:] *= 2
    np.testing.assert_array_equal(realized_volatility(changed, 20)[:41], whole[:41])
    assert np.isnan(whole[:20]).all()
    assert np.isfinite(whole[20:]).all()


def test_sector_residual_by_hand() -> None:
    payoff = np.array([[1.0, 3.0, 10.0, 30.0, 5.0]])
    got = cross_sectional_target(
        payoff,
        spec(residualize="sector", winsorize=None),
        sectors=np.array([0, 0, 1, 1, 2]),
    )
    # Residuals -1, 1, -10, 10, 0.
    np.testing.assert_allclose(got * 6, [[2, 4, 1, 5, 3]])


def test_small_bars_and_other_bars_do_not_enter() -> None:
    payoff = np.random.default_rng(2).normal(size=(3, 8))
    payoff[1, 3:] = NAN
    for kind in ("cs_percentile", "cs_zscore"):
        got = cross_sectional_target(payoff, spec(type=kind, min_symbols=4))
        assert np.isnan(got[1]).all()
        alone = cross_sectional_target(payoff[2:], spec(type=kind, min_symbols=4))
        np.testing.assert_array_equal(got[2:], alone)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), values=st.integers(2, 15))
def test_percentile_ranks_equal_scipy(seed: int, values: int) -> None:
    rng = np.random.default_rng([seed, 9])
    matrix = rng.integers(0, values, (4, 25)).astype(float)
    matrix[rng.random(matrix.shape) < 0.2] = NAN
    expected = stats.rankdata(matrix, axis=1, nan_policy="omit") / (
        np.isfinite(matrix).sum(axis=1, keepdims=True) + 1
    )
    np.testing.assert_allclose(percentile_ranks(matrix), expected)


def test_an_empty_bar_is_no_error() -> None:
    for kind in ("cs_percentile", "cs_zscore"):
        got = cross_sectional_target(np.full((2, 4), NAN), spec(type=kind))
        assert np.isnan(got).all()


def test_mistakes_are_named() -> None:
    with pytest.raises(UserError, match="cs_zscore"):
        TargetSpec(type="zscore")
    with pytest.raises(UserError, match="sector"):
        TargetSpec(residualize="industry")
    with pytest.raises(UserError, match="sector of each symbol"):
        cross_sectional_target(np.ones((1, 3)), spec(residualize="sector"))
    with pytest.raises(UserError, match="closes"):
        cross_sectional_target(np.ones((1, 3)), spec(type="vol_scaled"))
