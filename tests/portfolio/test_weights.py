"""Weights of a leg, by hand and by what must hold for any scores."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.portfolio.prediction_world import weighting

from ranking_pipeline.errors import UserError
from ranking_pipeline.portfolio.optimisers import optimised_weights
from ranking_pipeline.portfolio.weights import capped, leg_weights, sector_shared

PLAIN = ("equal", "rank", "score_softmax", "score_proportional", "volatility_scaled")
OPTIMISED = (
    "minimum_variance",
    "mean_variance",
    "risk_parity",
    "hierarchical_risk_parity",
)


def weigh(score: Any, volatility: Any = None, sector: Any = None, **how: Any) -> Any:
    as_array = [None if v is None else np.asarray(v) for v in (volatility, sector)]
    return leg_weights(np.asarray(score, float), *as_array, weighting(**how))


def test_each_method_by_hand() -> None:
    score = [0.1, 0.3, 0.2]
    np.testing.assert_allclose(weigh(score, method="equal"), [1 / 3] * 3)
    np.testing.assert_allclose(weigh(score, method="rank"), [1 / 6, 3 / 6, 2 / 6])
    np.testing.assert_allclose(
        weigh(score, method="score_proportional"), [1 / 6, 3 / 6, 2 / 6]
    )
    np.testing.assert_allclose(
        weigh(score, [0.01, 0.02, 0.04], method="volatility_scaled"),
        [4 / 7, 2 / 7, 1 / 7],
    )
    # the leg's standard deviation is sqrt(2/3) tenths; half of it is the temperature
    parts = np.exp(np.array([-2.0, 0.0, -1.0]) / (np.sqrt(2 / 3) * 0.5))
    np.testing.assert_allclose(
        weigh(score, method="score_softmax", temperature=0.5), parts / parts.sum()
    )


def test_ties_share_their_ranks() -> None:
    got = weigh([0.5, 0.1, 0.5], method="rank")
    np.testing.assert_allclose(got, [2.5 / 6, 1 / 6, 2.5 / 6])


def test_the_excess_over_a_cap_goes_to_the_others_in_proportion() -> None:
    # 0.5 is cut to 0.3; 0.2 more on 0.5 lifts 0.25 to 0.35, which is cut in turn
    got = capped(np.array([0.5, 0.25, 0.15, 0.10]), 0.3)
    np.testing.assert_allclose(got, [0.3, 0.3, 0.24, 0.16])
    # names without weight take over what nobody else may hold
    np.testing.assert_allclose(capped(np.array([1.0, 0.0, 0.0]), 0.4), [0.4, 0.3, 0.3])
    np.testing.assert_allclose(capped(np.array([0.6, 0.4]), 0.5), [0.5, 0.5])


def test_a_cap_that_leaves_capital_over_is_told() -> None:
    with pytest.raises(
        UserError, match=r"max_weight is 0\.2, and a leg of 4 names.*0\.25"
    ):
        weigh([1, 2, 3, 4], max_weight=0.2)


def test_sectors_share_a_leg_equally() -> None:
    got = sector_shared(np.array([0.6, 0.2, 0.1, 0.1]), np.array(list("aabb")))
    np.testing.assert_allclose(got, [0.375, 0.125, 0.25, 0.25])
    got = weigh([3, 2, 1], sector=["a", "a", "b"], method="rank", sector_neutral=True)
    np.testing.assert_allclose(got, [0.3, 0.2, 0.5])
    # the cap comes last
    got = weigh([1, 1, 1], sector=["a", "a", "b"], sector_neutral=True, max_weight=0.4)
    np.testing.assert_allclose(got, [0.3, 0.3, 0.4])


@pytest.mark.parametrize("score", [[0.2, -0.1], [0.0, 0.0]])
def test_proportional_weights_refuse_scores_that_speak_against_the_leg(
    score: list[float],
) -> None:
    with pytest.raises(UserError, match="Use equal, rank or score_softmax"):
        weigh(score, method="score_proportional")


def test_equal_scores_give_equal_softmax_weights() -> None:
    np.testing.assert_allclose(weigh([0.2, 0.2], method="score_softmax"), [0.5, 0.5])


scores = st.lists(st.floats(0.001, 1.0, allow_nan=False), min_size=1, max_size=12).map(
    np.array
)


@settings(max_examples=60, deadline=None)
@given(
    scores, st.sampled_from(PLAIN), st.booleans(), st.floats(1.0, 3.0), st.integers()
)
def test_weights_are_shares_under_the_cap_whatever_the_order(
    score: Any, method: str, neutral: bool, room: float, seed: int
) -> None:
    n = len(score)
    rng = np.random.default_rng(abs(seed))
    volatility, sector = rng.uniform(0.01, 0.05, n), rng.integers(0, 3, n)
    cap = min(1.0, room / n)
    how = {"method": method, "sector_neutral": neutral, "max_weight": cap}
    got = weigh(score, volatility, sector, **how)
    assert got.sum() == pytest.approx(1.0)
    assert (got >= 0).all()
    assert (got <= cap + 1e-12).all()
    order = rng.permutation(n)
    again = weigh(score[order], volatility[order], sector[order], **how)
    np.testing.assert_allclose(again, got[order], atol=1e-12)
    if method in {"rank", "score_softmax", "score_proportional"} and not neutral:
        assert (np.diff(got[np.argsort(score)]) >= -1e-12).all()


def returns(n_bars: int = 120) -> Any:
    rng = np.random.default_rng(1)
    scale = np.array([0.01, 0.02, 0.02, 0.04])
    return rng.normal(0, 1, (n_bars, 4)) * scale


@pytest.mark.parametrize("method", OPTIMISED)
def test_an_optimiser_gives_shares_under_the_cap(method: str) -> None:
    pytest.importorskip("skfolio")
    values = returns()
    values[3, 2] = np.nan  # a day that one name missed is left out for all
    got = leg_weights(np.zeros(4), None, None, weighting(method=method), values)
    assert got.sum() == pytest.approx(1.0)
    assert (got >= 0).all()
    assert got[0] == got.max()  # the calmest name
    complete = np.delete(values, 3, axis=0)
    np.testing.assert_array_equal(
        got, optimised_weights(complete, weighting(method=method))
    )
    how = weighting(method=method, max_weight=0.3)
    held = leg_weights(np.zeros(4), None, None, how, values)
    assert (held <= 0.3 + 1e-9).all()
    assert held.sum() == pytest.approx(1.0)


def test_risk_parity_shares_the_variance() -> None:
    pytest.importorskip("skfolio")
    values = returns()
    weights = optimised_weights(values, weighting(method="risk_parity"))
    parts = weights * (np.cov(values.T) @ weights)
    np.testing.assert_allclose(parts / parts.sum(), 0.25, atol=1e-3)


def test_an_optimiser_needs_days() -> None:
    pytest.importorskip("skfolio")
    with pytest.raises(UserError, match="4 names share 29 days"):
        optimised_weights(returns(29), weighting(method="risk_parity"))


def test_an_optimiser_without_its_extra_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    where = "ranking_pipeline.portfolio.optimisers.find_spec"
    monkeypatch.setattr(where, lambda name: None)
    with pytest.raises(
        UserError, match=r"pip install 'ranking_pipeline\[optimisers\]'"
    ):
        optimised_weights(returns(), weighting(method="risk_parity"))
