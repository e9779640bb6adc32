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
    realized_volatility,
    rolling_beta,
)
from ranking_pipeline.row_ranks import percentile_ranks

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


def test_dated_sectors_equal_the_bars_one_by_one() -> None:
    rng = np.random.default_rng(4)
    payoff = rng.normal(size=(6, 12))
    payoff[rng.random(payoff.shape) < 0.1] = NAN
    codes = rng.integers(-1, 3, payoff.shape)
    for kind in ("cs_percentile", "cs_zscore", "vol_scaled"):
        wanted = spec(type=kind, residualize="sector", volatility_lookback=2)
        close = 50 + rng.normal(size=payoff.shape)
        got = cross_sectional_target(payoff, wanted, sectors=codes, close=close)
        for bar in range(2, len(payoff)):
            alone = cross_sectional_target(
                payoff[bar - 2 : bar + 1],
                wanted,
                sectors=codes[bar],
                close=close[bar - 2 : bar + 1],
            )
            np.testing.assert_array_equal(got[bar], alone[2])
    assert np.isnan(got[codes < 0]).all()
    known = np.isfinite(payoff[2:]) & (codes[2:] >= 0)
    assert np.isfinite(got[2:])[known].all()


def test_a_sector_changes_sides_when_its_date_comes() -> None:
    payoff = np.array([[1.0, 3.0, 10.0, 30.0, 50.0]] * 2)
    codes = np.array([[0, 0, 1, 1, 1], [0, 0, 0, 1, 1]])
    # Residuals: -1 1 -20 0 20, then -11/3 -5/3 16/3 -10 10.
    got = cross_sectional_target(
        payoff, spec(residualize="sector", winsorize=None), sectors=codes
    )
    np.testing.assert_allclose(got * 6, [[2, 4, 1, 3, 5], [2, 3, 4, 1, 5]])


def _plain_beta(close: np.ndarray, lookback: int) -> np.ndarray:
    with np.errstate(all="ignore"):
        returns = np.vstack([np.full(close.shape[1], NAN), close[1:] / close[:-1] - 1])
    market = [
        np.mean(row[np.isfinite(row)]) if np.isfinite(row).any() else NAN
        for row in returns
    ]
    beta = np.full(close.shape, NAN)
    for bar in range(len(close)):
        past = slice(max(0, bar - lookback + 1), bar + 1)
        for symbol in range(close.shape[1]):
            own, index = returns[past, symbol], np.array(market[past])
            both = np.isfinite(own)
            if both.sum() >= 2 * lookback / 3 and np.ptp(index[both]) > 0:
                slope = np.polyfit(index[both], own[both], 1)[0]
                beta[bar, symbol] = 1 / 3 + 2 / 3 * min(max(slope, -1), 4)
    return beta


def _closes(seed: int, n_bars: int = 70, n_symbols: int = 6) -> np.ndarray:
    rng = np.random.default_rng([seed, 5])
    index = rng.normal(0, 0.01, (n_bars, 1)) * rng.uniform(-4, 9, n_symbols)
    close = 50 * np.exp(np.cumsum(index + rng.normal(0, 0.005, index.shape), axis=0))
    close[rng.random(close.shape) < 0.04] = NAN
    return close


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), lookback=st.integers(10, 40))
def test_beta_equals_the_plain_reference(seed: int, lookback: int) -> None:
    close = _closes(seed)
    got, expected = rolling_beta(close, lookback), _plain_beta(close, lookback)
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-9)
    assert np.isfinite(got[-1]).any()
    assert np.isnan(got[: lookback * 2 // 3]).all()


def test_beta_knows_nothing_later_and_nothing_before_its_window() -> None:
    close, lookback = _closes(1), 20
    whole = rolling_beta(close, lookback)
    changed = close.copy()
    changed[41:] *= np.random.default_rng(0).uniform(0.5, 2, changed[41:].shape)
    assert rolling_beta(changed, lookback)[:41].tobytes() == whole[:41].tobytes()
    changed = close.copy()
    changed[:20] *= np.random.default_rng(0).uniform(0.5, 2, changed[:20].shape)
    assert rolling_beta(changed, lookback)[40:].tobytes() == whole[40:].tobytes()
    assert rolling_beta(changed, lookback)[39].tobytes() != whole[39].tobytes()


def test_beta_within_its_bounds() -> None:
    close = _closes(2)
    beta = rolling_beta(close, 30)
    assert np.nanmin(beta) >= 1 / 3 - 2 / 3
    assert np.nanmax(beta) <= 1 / 3 + 8 / 3
    still = np.full((40, 3), 10.0)
    assert np.isnan(rolling_beta(still, 20)).all()


def test_beta_residual_by_hand() -> None:
    """Two symbols move by +-(1 % and 3 %): slopes 1/2 and 3/2, shrunk to 2/3 and 4/3."""
    signs = np.where(np.arange(40) % 2, 1.0, -1.0)[:, None]
    close = 100 * np.cumprod(1 + signs * np.array([0.01, 0.03]), axis=0)
    payoff = np.full((40, 2), NAN)
    payoff[-1] = [0.02, 0.05]
    got = cross_sectional_target(
        payoff,
        spec(type="vol_scaled", residualize="beta", winsorize=None,
             volatility_lookback=2, beta_lookback=20),
        close=close,
    )  # fmt: skip
    residual = np.array([0.02 - 2 / 3 * 0.035, 0.05 - 4 / 3 * 0.035])
    volatility = np.diff(np.log(close[-3:]), axis=0).std(axis=0, ddof=1)
    np.testing.assert_allclose(got[-1], residual / volatility)


def test_a_symbol_without_a_beta_has_no_target() -> None:
    close = 50 + np.cumsum(np.random.default_rng(3).normal(size=(80, 6)), axis=0)
    close[:70, 0] = NAN
    payoff = np.random.default_rng(0).normal(size=close.shape)
    for kind in ("cs_percentile", "cs_zscore", "vol_scaled"):
        wanted = spec(type=kind, residualize="beta", beta_lookback=20)
        got = cross_sectional_target(payoff, wanted, close=close)
        assert np.isnan(got[:, 0]).all()
        assert np.isfinite(got[-1, 1:]).all()
        alone = cross_sectional_target(
            payoff, spec(type=kind, residualize="beta", beta_lookback=20,
                         min_symbols=6), close=close
        )  # fmt: skip
        assert np.isnan(alone).all()  # five are left where six are asked for


def test_the_mean_is_said_to_change_nothing() -> None:
    for kind in ("cs_percentile", "cs_zscore"):
        (note,) = spec(type=kind, residualize="mean").notes()
        assert f"changes nothing in {kind}" in note
        payoff = np.random.default_rng(8).normal(size=(4, 30))
        by_mean, plain = (
            cross_sectional_target(payoff, spec(type=kind, residualize=name))
            for name in ("mean", "none")
        )
        np.testing.assert_allclose(by_mean, plain, atol=1e-12)
    assert spec(type="vol_scaled", residualize="mean").notes() == ()
    assert spec(residualize="sector").notes() == ()


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
    with pytest.raises(UserError, match="sector of each symbol"):
        cross_sectional_target(
            np.ones((1, 3)), spec(residualize="sector"), sectors=np.full(3, -1)
        )
    with pytest.raises(UserError, match="type 'vol_scaled' needs the closes"):
        cross_sectional_target(np.ones((1, 3)), spec(type="vol_scaled"))
    with pytest.raises(UserError, match="residualize 'beta' needs the closes"):
        cross_sectional_target(np.ones((1, 3)), spec(residualize="beta"))
    with pytest.raises(UserError, match="beta_lookback is 5"):
        TargetSpec(beta_lookback=5)
