"""Volatility forecasts of a symbol: fits against ``arch``, fallbacks, no look-ahead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from arch import arch_model
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from ranking_pipeline.errors import UserError
from ranking_pipeline.portfolio.candidates import garch_fit
from ranking_pipeline.portfolio.candidates.ewma import ewma_volatility
from ranking_pipeline.portfolio.candidates.garch import (
    GarchConfig,
    GarchPath,
    fit_months,
)
from ranking_pipeline.portfolio.candidates.garch_fit import GarchFit, fit_garch
from ranking_pipeline.portfolio.candidates.garch_likelihood import GarchLikelihood

from .garch_returns import simulated

TYPICAL = (0.05, 0.08, 0.09, 0.88, 5.0)
SETTINGS: dict[str, Any] = {
    "solver": "own",
    "window_returns": 300,
    "min_returns": 200,
    "ewma_decay": 0.94,
    "ewma_min_returns": 20,
}
OPTIONS = GarchConfig(**SETTINGS)


def _same(one: GarchPath, other: GarchPath) -> None:
    for name, left, right in zip(GarchPath._fields, one, other, strict=True):
        assert left.dtype == right.dtype, name
        assert left.tobytes() == right.tobytes(), name


def _fitted(returns: np.ndarray, solver: str = "own") -> GarchFit:
    found = fit_garch(returns, solver)
    assert isinstance(found, GarchFit)
    return found


def _arch(returns: np.ndarray) -> Any:
    model = arch_model(returns, mean="Constant", dist="t", rescale=False)
    return model.fit(disp="off", show_warning=False)


@pytest.mark.parametrize(
    "truth",
    [
        TYPICAL,
        (0.0, 0.01, 0.05, 0.95, 8.0),  # shocks never fade
        (0.1, 2.0, 0.0, 0.0, 4.0),  # constant variance: alpha and beta mean nothing
        (0.0, 1.0, 0.5, 0.0, 6.0),  # shocks last a bar
        (-0.05, 0.3, 0.02, 0.9, 40.0),  # close to a normal
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_log_likelihood_is_never_below_that_of_arch(
    seed: int, truth: tuple[float, ...]
) -> None:
    returns = simulated(seed, 600, truth)
    found = _fitted(returns)
    assert found.log_likelihood >= _arch(returns).loglikelihood - 0.01
    # A true optimum: the gradient vanishes where no bound holds it.
    mean_slope, omega_slope, *_, nu_slope = GarchLikelihood(returns).value_and_gradient(
        found.parameters
    )[1]
    assert abs(mean_slope) < 0.5
    assert abs(omega_slope * found.parameters[1]) < 0.5
    assert found.parameters[4] > 400 or abs(nu_slope * found.parameters[4]) < 0.5


def test_fit_finds_the_parameters_of_a_long_simulation() -> None:
    found = _fitted(simulated(5, 20_000, TYPICAL))
    np.testing.assert_allclose(found.parameters[[0, 4]], [0.05, 5.0], rtol=0.5)
    np.testing.assert_allclose(found.parameters[2:4], [0.09, 0.88], atol=0.02)
    assert found.persistence == pytest.approx(0.97, abs=0.01)


def test_fit_scales_with_the_returns() -> None:
    returns = simulated(8, 500, TYPICAL)
    one, hundredfold = _fitted(returns), _fitted(100 * returns)
    assert hundredfold.volatility == pytest.approx(100 * one.volatility, rel=1e-6)
    assert hundredfold.persistence == pytest.approx(one.persistence, rel=1e-6)
    shift = len(returns) * np.log(100)
    assert hundredfold.log_likelihood == pytest.approx(one.log_likelihood - shift)


def test_arch_as_the_solver_gives_what_arch_gives() -> None:
    returns = simulated(3, 600, TYPICAL)
    reference = _arch(returns)
    found = _fitted(returns, "arch")
    np.testing.assert_array_equal(found.parameters, reference.params)
    assert found.log_likelihood == pytest.approx(reference.loglikelihood, rel=1e-12)
    ahead = reference.forecast(horizon=1).variance.iloc[-1, 0]
    assert found.volatility == pytest.approx(np.sqrt(ahead), rel=1e-12)
    assert _fitted(returns).volatility == pytest.approx(found.volatility, rel=1e-3)


def test_path_is_in_shares_and_names_its_source() -> None:
    returns = simulated(1, 400, TYPICAL) / 100
    path = fit_months(returns, np.array([399, 10, 100, 199]), OPTIONS)
    assert path.source.tolist() == ["garch", "", "ewma", "garch"]
    assert path.reason.tolist() == ["", "few_returns", "few_returns", ""]
    assert path.n_returns.tolist() == [300, 11, 101, 200]
    window = _fitted(100 * returns[100:])
    assert path.volatility[0] == window.volatility / 100
    assert path.persistence[0] == window.persistence
    assert path.log_likelihood[0] == window.log_likelihood
    assert np.isnan(path.volatility[1])
    assert path.volatility[2] == ewma_volatility(returns[:101], 0.94)
    assert np.isnan(path.persistence[1:3]).all()
    assert np.isnan(path.log_likelihood[1:3]).all()
    assert not path.at_bound.any()
    assert fit_months(returns, np.array([], dtype=int), OPTIONS).volatility.size == 0


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 100), end=st.integers(150, 398))
def test_later_returns_and_other_ends_change_nothing(seed: int, end: int) -> None:
    returns = simulated(seed, 400, TYPICAL) / 100
    alone = fit_months(returns, np.array([end]), OPTIONS)
    moved = returns.copy()
    moved[end + 1 :] *= -3
    moved[-1] = np.nan
    _same(alone, fit_months(moved, np.array([end]), OPTIONS))
    _same(alone, fit_months(returns[: end + 1], np.array([end]), OPTIONS))
    among = fit_months(returns, np.array([120, 390, end, end]), OPTIONS)
    for place in (2, 3):
        _same(alone, GarchPath(*(array[[place]] for array in among)))


def test_returns_before_the_window_change_nothing() -> None:
    returns = simulated(2, 400, TYPICAL) / 100
    moved = returns.copy()
    moved[:100] = 7.0
    ends = np.array([399])
    _same(fit_months(returns, ends, OPTIONS), fit_months(moved, ends, OPTIONS))


def test_gaps_are_skipped() -> None:
    returns = simulated(4, 260, TYPICAL) / 100
    holes = np.full(400, np.nan)
    places = np.sort(np.random.default_rng(0).choice(400, 260, replace=False))
    holes[places] = returns
    holes[np.setdiff1d(np.arange(400), places)[::3]] = np.inf
    ends = np.array([places[-1], places[219]])
    _same(
        fit_months(holes, ends, OPTIONS),
        fit_months(returns, np.array([259, 219]), OPTIONS),
    )


@pytest.mark.parametrize(
    ("returns", "source", "reason"),
    [
        (np.full(250, np.nan), "", "few_returns"),
        (np.zeros(250), "", "constant_price"),
        (np.full(250, 0.01), "ewma", "ties"),
        (np.where(np.arange(250) % 5, 0.0, 0.01), "ewma", "ties"),
    ],
)
def test_known_limits(returns: np.ndarray, source: str, reason: str) -> None:
    path = fit_months(returns, np.array([249]), OPTIONS)
    assert (path.source[0], path.reason[0]) == (source, reason)
    assert np.isfinite(path.volatility[0]) == (source == "ewma")


def test_a_stale_price_is_no_calm_one() -> None:
    # The likelihood has no maximum here: calm bars grow calmer without a limit.
    returns = simulated(6, 300, TYPICAL) / 100
    returns[60:190] = 0.0
    path = fit_months(returns, np.array([299]), OPTIONS)
    assert (path.source[0], path.reason[0]) == ("ewma", "degenerate")
    assert path.volatility[0] == ewma_volatility(returns, 0.94)


@pytest.mark.parametrize("size", [0.5, 5_000.0])
def test_one_huge_return(size: float) -> None:
    returns = simulated(7, 400, TYPICAL) / 100
    returns[110] = size
    path = fit_months(returns, np.array([399]), OPTIONS)
    if size > 1:  # no finite variance describes it: nu ends on its bound
        assert (path.source[0], path.reason[0]) == ("ewma", "infinite_variance")
        assert path.volatility[0] == ewma_volatility(returns[100:], 0.94)
    else:
        assert path.source[0] == "garch"
        assert 0.01 < path.volatility[0] < 0.05


def test_a_search_that_fails_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(garch_fit.SOLVERS, "own", lambda returns, scale: None)
    returns = simulated(1, 250, TYPICAL) / 100
    path = fit_months(returns, np.array([249]), OPTIONS)
    assert (path.source[0], path.reason[0]) == ("ewma", "not_converged")
    assert path.volatility[0] == ewma_volatility(returns, 0.94)


def test_persistence_at_its_bound_is_marked() -> None:
    # Variance that only grows: shocks never fade.
    rng = np.random.default_rng(1)
    returns = rng.standard_normal(300) * np.exp(np.linspace(-3, 0, 300)) / 100
    path = fit_months(returns, np.array([299]), OPTIONS)
    assert path.source[0] == "garch"
    assert path.at_bound[0]
    assert path.persistence[0] == pytest.approx(1.0, abs=1e-6)


def test_ends_lie_inside_the_returns() -> None:
    for end in (-1, 250):
        with pytest.raises(IndexError, match="outside the 250 returns"):
            fit_months(np.zeros(250), np.array([5, end]), OPTIONS)


def test_ewma_by_hand() -> None:
    # Weights 1/4, 1/2, 1 over 7/4: (4/4 + 9/2 + 1) / (7/4) = 26/7
    got = ewma_volatility(np.array([2.0, -3.0, 1.0]), 0.5)
    assert got == pytest.approx(np.sqrt(26 / 7), rel=1e-15)


def test_config_is_ordered() -> None:
    with pytest.raises(
        ValidationError, match="min_returns 400 is above window_returns 300"
    ):
        GarchConfig(**(SETTINGS | {"min_returns": 400}))


def test_arch_that_is_not_installed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "arch", None)
    with pytest.raises(
        UserError, match=r"candidate_selection\.volatility\.solver 'arch'.*\[arch\]"
    ):
        fit_garch(simulated(1, 250, TYPICAL), "arch")


@pytest.mark.realdata
def test_real_returns_are_fitted_no_worse_than_by_arch(real_data: Path) -> None:
    names = ["AAPL", "DXC", "KSS", "CMG", "PNW"]  # the last four have several optima
    bars = pd.read_parquet(
        real_data / "sp500_daily_2015_2020.parquet",
        columns=["symbol", "timestamp", "close"],
        filters=[("symbol", "in", names)],
    )
    for _, own in bars.sort_values("timestamp").groupby("symbol"):
        returns = 100 * own["close"].pct_change().to_numpy()[1:]
        for end in (563, 689, 941, 1258):
            window = returns[max(end - 750, 0) : end]
            ours = _fitted(window).log_likelihood
            assert ours >= _arch(window).loglikelihood - 0.01
