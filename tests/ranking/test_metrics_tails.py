"""Tails, quantiles and turnover against the report's definitions and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ranking_pipeline.evaluation import metrics as report
from ranking_pipeline.portfolio.backtest import hold, target_weights
from ranking_pipeline.ranking.ordering import order_of
from ranking_pipeline.ranking.quantiles import quantile_means, quantile_spread
from ranking_pipeline.ranking.tails import (
    tail_members,
    tail_precision,
    tail_spread,
    tail_turnover,
    tail_weights,
)


def block(seed: int, bars: int = 10, names: int = 37, values: int = 12) -> tuple:
    """Tied scores, returns with holes, a mask; tensors."""
    rng = np.random.default_rng([seed, 31])
    scores = rng.integers(0, values, (bars, names)) / 3.0
    payoffs = rng.normal(0, 0.02, scores.shape)
    payoffs[rng.random(scores.shape) < 0.1] = math.nan
    mask = rng.random(scores.shape) < 0.85
    mask[2, 3:] = False
    return torch.tensor(scores), torch.tensor(payoffs), torch.tensor(mask)


def shown(scores: torch.Tensor, mask: torch.Tensor) -> np.ndarray:
    return torch.where(mask, scores, math.nan).numpy()


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), share=st.sampled_from([0.01, 0.1, 0.29, 0.5, 1.0]))
def test_tails_equal_those_of_the_report(seed: int, share: float) -> None:
    scores, payoffs, mask = block(seed)
    order = order_of(scores, mask)
    for mine, theirs in zip(
        tail_members(order, share, share),
        report.tails(shown(scores, mask), share),
        strict=True,
    ):
        np.testing.assert_array_equal(mine.numpy(), theirs)
    np.testing.assert_allclose(
        tail_spread(scores, payoffs, mask, share, share, 5).numpy(),
        report.tail_spread(shown(scores, mask), payoffs.numpy(), share, 5),
        atol=1e-15,
    )
    weights = tail_weights(order, share, share, 5).numpy()
    expected = np.nan_to_num(target_weights(shown(scores, mask), share, 5))
    np.testing.assert_allclose(weights, expected, atol=1e-15)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    names=st.integers(1, 12),
    top=st.floats(0.01, 1),
    bottom=st.floats(0.01, 1),
)
def test_no_name_is_in_both_tails(
    seed: int, names: int, top: float, bottom: float
) -> None:
    scores, _, mask = block(seed, names=names, values=2)
    longs, shorts = tail_members(order_of(scores, mask), top, bottom)
    assert not (longs & shorts).any()
    assert not ((longs | shorts) & ~mask).any()
    count = mask.sum(dim=1)
    for members, share in ((longs, top), (shorts, bottom)):
        for n, size in zip(count.tolist(), members.sum(dim=1).tolist(), strict=True):
            assert size == min(max(1, math.floor(n * share + 1e-9)), n // 2)


def test_all_scores_equal_do_not_put_the_same_names_on_both_sides() -> None:
    tied, mask = torch.zeros(1, 6), torch.ones(1, 6, dtype=torch.bool)
    payoffs = torch.arange(6.0).unsqueeze(0)
    # Slots 0, 1 against 4, 5.
    assert tail_spread(tied, payoffs, mask, 0.34, 0.34).item() == 0.5 - 4.5


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), groups=st.integers(1, 12))
def test_quantiles_equal_those_of_the_report(seed: int, groups: int) -> None:
    scores, payoffs, mask = block(seed)
    got = quantile_means(scores, payoffs, mask, groups, 5).numpy()
    expected = report.decile_means(shown(scores, mask), payoffs.numpy(), 5, groups)
    np.testing.assert_allclose(got, expected, atol=1e-15)
    spread = quantile_spread(scores, payoffs, mask, groups, 5).numpy()
    np.testing.assert_allclose(spread, expected[:, -1] - expected[:, 0], atol=1e-15)


def test_quantiles_by_hand() -> None:
    scores = torch.tensor([[4.0, 1.0, 2.0, 3.0]])
    payoffs = torch.tensor([[0.04, 0.01, 0.00, -0.01]])
    mask = torch.ones(1, 4, dtype=torch.bool)
    means = quantile_means(scores, payoffs, mask, 2)[0].tolist()
    assert means == pytest.approx([0.005, 0.015])
    assert quantile_spread(scores, payoffs, mask, 2).item() == pytest.approx(0.01)
    tied = quantile_means(torch.zeros(1, 4), payoffs, mask, 2)[0]
    assert tied[0].isnan()
    assert tied[1].item() == pytest.approx(0.01)


def test_precision_by_hand() -> None:
    scores = torch.tensor([[6.0, 5.0, 4.0, 3.0, 2.0, 1.0, 9.0]])
    outcomes = torch.tensor([[0.3, -0.2, 0.4, 0.1, 0.0, -0.3, 9.0]])
    mask = torch.tensor([[True] * 6 + [False]])
    # Best two by score: 0, 1; by outcome: 2, 0. Worst two: 4, 5 and 5, 1.
    top, bottom = tail_precision(scores, outcomes, mask, 0.34, 0.34)
    assert (top.item(), bottom.item()) == (0.5, 0.5)
    top, bottom = tail_precision(outcomes, outcomes, mask, 0.2, 0.5)
    assert (top.item(), bottom.item()) == (1.0, 1.0)
    top, bottom = tail_precision(-outcomes, outcomes, mask, 0.2, 0.5)
    assert (top.item(), bottom.item()) == (0.0, 0.0)
    few = tail_precision(scores, outcomes, mask, 0.2, 0.2, min_symbols=7)
    assert all(part.isnan().all() for part in few)


def test_ties_at_the_cut_go_by_slot_on_both_sides() -> None:
    tied, mask = torch.zeros(1, 4), torch.ones(1, 4, dtype=torch.bool)
    top, bottom = tail_precision(tied, tied, mask, 0.25, 0.25)
    assert (top.item(), bottom.item()) == (1.0, 1.0)


def test_a_skill_less_score_has_the_precision_of_its_tail() -> None:
    rng = np.random.default_rng(3)
    scores, outcomes = torch.tensor(rng.normal(size=(2, 400, 50)))
    mask = torch.ones(400, 50, dtype=torch.bool)
    top, bottom = tail_precision(scores, outcomes, mask, 0.2, 0.2)
    assert top.mean().item() == pytest.approx(0.2, abs=0.02)
    assert bottom.mean().item() == pytest.approx(0.2, abs=0.02)


def test_turnover_by_hand() -> None:
    weights = torch.tensor([[1.0, -1.0, 0.0], [1.0, 0.0, -1.0]]).double()
    payoffs = torch.tensor([[0.1, 0.2, 0.0], [0.0, 0.0, 0.0]])
    # Book of bar 0 drifts to 1.1 / 0.9 and -1.2 / 0.9.
    drifted = [1.1 / 0.9, -1.2 / 0.9, 0.0]
    expected = abs(1 - drifted[0]) + abs(drifted[1]) + 1
    got = tail_turnover(weights, payoffs, np.arange(2))
    assert got.tolist() == pytest.approx([2.0, expected])
    # Two staggered books: both bars are entries.
    assert tail_turnover(weights, payoffs, np.arange(2), 2).tolist() == [2.0, 2.0]
    # Bars 0 and 2 belong to one of two books.
    apart = tail_turnover(weights, payoffs, np.array([0, 2]), 2)
    assert apart.tolist() == pytest.approx([2.0, expected])


def test_a_book_that_lost_all_enters_anew() -> None:
    weights = torch.tensor([[1.0, -1.0], [1.0, -1.0]]).double()
    payoffs = torch.tensor([[0.0, 1.5], [0.0, 0.0]])
    assert tail_turnover(weights, payoffs, np.arange(2)).tolist() == [2.0, 2.0]


def test_a_bar_without_a_book_holds_what_is_there() -> None:
    weights = torch.tensor([[1.0, -1.0], [0.0, 0.0], [1.0, -1.0]]).double()
    got = tail_turnover(weights, torch.zeros(3, 2), np.arange(3))
    assert got[[0, 2]].tolist() == [2.0, 0.0]
    assert got[1].isnan()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), horizon=st.integers(1, 4), lag=st.integers(0, 2))
def test_turnover_equals_that_of_the_backtest(
    seed: int, horizon: int, lag: int
) -> None:
    rng = np.random.default_rng([seed, 77])
    bars, names = 30, 12
    returns = rng.normal(0, 0.03, (bars + lag + horizon + 1, names))
    score = rng.normal(size=(bars, names))
    targets = np.full(returns.shape, np.nan)
    targets[:bars] = target_weights(score, 0.25)
    book = hold(targets, returns, horizon, lag, 5.0)
    growth = np.cumprod(1 + returns, axis=0)
    decision = np.arange(bars)
    payoff = growth[decision + lag + horizon] / growth[decision + lag] - 1
    mask = torch.ones(bars, names, dtype=torch.bool)
    weights = tail_weights(order_of(torch.tensor(score), mask), 0.25, 0.25)
    got = tail_turnover(weights, torch.tensor(payoff), decision + 100, horizon)
    # The first bars of the backtest meet its phases from bar 0 on, ours from 100.
    np.testing.assert_allclose(got.numpy(), book.turnover[lag : lag + bars])
