"""The likelihood of a GARCH(1,1): by hand, bar by bar, and as ``arch`` has it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from arch import arch_model
from hypothesis import given, settings
from hypothesis import strategies as st

from ranking_pipeline.portfolio.candidates.garch_likelihood import GarchLikelihood

from .garch_returns import plain_likelihood, simulated

TYPICAL = (0.05, 0.08, 0.09, 0.88, 5.0)


def test_two_returns_by_hand() -> None:
    # Deviations of +-1 from the mean 2: 1 before the first bar, whatever the weights.
    likelihood = GarchLikelihood(np.array([3.0, 1.0]))
    assert likelihood.backcast == 1.0
    parameters = np.array([1.0, 0.5, 0.25, 0.5, 4.0])
    # 0.5 + 0.25 + 0.5; 0.5 + 0.25 * 2^2 + 0.5 * 1.25; 0.5 + 0 + 0.5 * 2.125
    assert likelihood.variances(parameters).tolist() == [1.25, 2.125, 1.5625]
    constant = math.lgamma(2.5) - math.lgamma(2.0) - 0.5 * math.log(2 * math.pi)
    by_hand = 2 * constant - 0.5 * math.log(1.25 * 2.125) - 2.5 * math.log(1 + 4 / 2.5)
    assert likelihood.value(parameters) == pytest.approx(by_hand, rel=1e-14)


PARAMETERS = st.tuples(
    st.floats(-0.5, 0.5),
    st.floats(0.01, 3.0),
    st.floats(0.0, 0.5),
    st.floats(0.0, 0.5),
    st.floats(2.1, 300.0),
)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), n=st.integers(2, 120), parameters=PARAMETERS)
def test_value_is_that_of_a_plain_loop(
    seed: int, n: int, parameters: tuple[float, ...]
) -> None:
    returns = simulated(seed, n, TYPICAL)
    likelihood = GarchLikelihood(returns)
    value, variances = plain_likelihood(returns, np.array(parameters))
    assert likelihood.value(np.array(parameters)) == pytest.approx(value, rel=1e-10)
    np.testing.assert_allclose(
        likelihood.variances(np.array(parameters)), variances, rtol=1e-12
    )


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), n=st.integers(2, 200), parameters=PARAMETERS)
def test_gradient_is_that_of_finite_differences(
    seed: int, n: int, parameters: tuple[float, ...]
) -> None:
    likelihood = GarchLikelihood(simulated(seed, n, TYPICAL))
    at = np.array(parameters)
    _, gradient = likelihood.value_and_gradient(at)
    for place in range(5):
        step = np.zeros(5)
        step[place] = 1e-6 * max(abs(at[place]), 0.1)
        above, below = likelihood.value(at + step), likelihood.value(at - step)
        slope = (above - below) / (2 * step[place])
        assert gradient[place] == pytest.approx(slope, rel=1e-4, abs=2e-3)


@pytest.mark.parametrize("n", [40, 75, 600])
@pytest.mark.parametrize(
    "parameters", [TYPICAL, (0.0, 1.5, 0.3, 0.0, 2.5), (-0.1, 0.02, 0.03, 0.97, 80.0)]
)
def test_value_and_variances_are_those_of_arch(
    n: int, parameters: tuple[float, ...]
) -> None:
    returns = simulated(n, n, TYPICAL)
    model = arch_model(returns, mean="Constant", dist="t", rescale=False)
    fixed = model.fix(np.array(parameters))
    likelihood = GarchLikelihood(returns)
    at = np.array(parameters)
    assert likelihood.value(at) == pytest.approx(fixed.loglikelihood, rel=1e-12)
    np.testing.assert_allclose(
        likelihood.variances(at)[:-1], fixed.conditional_volatility**2, rtol=1e-12
    )
    # arch forecasts with another backcast than it fitted with: one step of its own path.
    _, omega, alpha, beta, _ = parameters
    ahead = omega + alpha * (returns[-1] - parameters[0]) ** 2
    ahead += beta * fixed.conditional_volatility[-1] ** 2
    assert likelihood.variances(at)[-1] == pytest.approx(ahead, rel=1e-12)
