"""Rank metrics against scipy, with ties, masks and degenerate bars."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ranking_pipeline.learning.ranks import average_ranks, normal_scores
from ranking_pipeline.ranking.metrics import rank_ic, tail_spread


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), values=st.integers(2, 12), names=st.integers(3, 30))
def test_rank_ic_equals_scipy_on_tied_integers(
    seed: int, values: int, names: int
) -> None:
    rng = np.random.default_rng([seed, 11])
    scores, outcomes = rng.integers(0, values, (2, 4, names)).astype(float)
    mask = rng.random((4, names)) < 0.8
    got = rank_ic(*map(torch.tensor, (scores, outcomes, mask))).numpy()
    for bar in range(4):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            cut = mask[bar]
            expected = (
                stats.spearmanr(scores[bar, cut], outcomes[bar, cut])[0]
                if cut.sum() >= 2
                else math.nan
            )
        np.testing.assert_allclose(got[bar], expected, atol=1e-12)


def test_unknown_values_are_left_out_and_counted_against_the_minimum() -> None:
    scores = torch.tensor([[1.0, 2.0, 3.0, math.nan], [1.0, 2.0, 3.0, 4.0]])
    outcomes = torch.tensor([[1.0, 3.0, 2.0, 9.0], [4.0, 3.0, math.inf, 1.0]])
    mask = torch.ones(2, 4, dtype=torch.bool)
    assert rank_ic(scores, outcomes, mask, 3).tolist() == pytest.approx([0.5, -1.0])
    assert rank_ic(scores, outcomes, mask, 4).isnan().all()


def test_a_bar_without_variance_has_no_ic() -> None:
    tied, varied = torch.full((1, 5), 0.7), torch.arange(5.0).unsqueeze(0)
    mask = torch.ones(1, 5, dtype=torch.bool)
    assert rank_ic(tied, varied, mask).isnan().all()
    assert rank_ic(varied, tied, mask).isnan().all()
    assert rank_ic(varied, varied, torch.zeros_like(mask)).isnan().all()


def test_average_ranks_and_normal_scores_equal_scipy() -> None:
    values = np.random.default_rng(4).integers(0, 6, 40).astype(float)
    mask = torch.arange(50).unsqueeze(0) < 40
    padded = torch.full((1, 50), math.nan, dtype=torch.float64)
    padded[0, :40] = torch.tensor(values)
    ranks = average_ranks(padded, mask)[mask].numpy()
    np.testing.assert_array_equal(ranks, stats.rankdata(values))
    expected = stats.norm.ppf((stats.rankdata(values) - 0.5) / 40)
    got = normal_scores(padded, mask)
    np.testing.assert_allclose(got[mask].numpy(), expected, atol=1e-6)
    assert (got[~mask] == 0).all()


def test_spread_by_hand() -> None:
    scores = torch.tensor([[5.0, 1.0, 3.0, 2.0, 4.0, 99.0]])
    payoffs = torch.tensor([[0.05, 0.01, 0.0, -0.03, 0.02, 9.0]])
    mask = torch.tensor([[True] * 5 + [False]])
    assert tail_spread(scores, payoffs, mask, 0.2, 0.2).item() == pytest.approx(0.04)
    two = tail_spread(scores, payoffs, mask, 0.4, 0.4).item()
    assert two == pytest.approx((0.05 + 0.02) / 2 - (0.01 - 0.03) / 2)
    # Never more than half: shares of 0.9 still give two names a side.
    assert tail_spread(scores, payoffs, mask, 0.9, 0.9).item() == pytest.approx(two)
    one = torch.arange(6).unsqueeze(0) < 1
    assert tail_spread(scores, payoffs, one, 0.2, 0.2).isnan().all()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_rank_metrics_only_see_the_order(seed: int) -> None:
    rng = np.random.default_rng([seed, 3])
    scores, outcomes = torch.tensor(rng.normal(size=(2, 3, 20)))
    mask = torch.tensor(rng.random((3, 20)) < 0.9)
    value = rank_ic(scores, outcomes, mask)
    torch.testing.assert_close(rank_ic(scores.exp() * 3, outcomes, mask), value)
    torch.testing.assert_close(rank_ic(-scores, outcomes, mask), -value)
    spread = tail_spread(scores, outcomes, mask, 0.2, 0.2)
    torch.testing.assert_close(
        tail_spread(3 * scores, outcomes, mask, 0.2, 0.2), spread
    )
