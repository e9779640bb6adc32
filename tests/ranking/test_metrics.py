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

from ranking_pipeline.evaluation import metrics as report
from ranking_pipeline.learning.ranks import average_ranks, normal_scores
from ranking_pipeline.ranking import ordering
from ranking_pipeline.ranking.metrics import pearson_ic, rank_ic
from ranking_pipeline.ranking.ordering import order_of
from ranking_pipeline.ranking.tails import tail_spread


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


def random_block(seed: int, names: int = 40, bars: int = 12, values: int = 9) -> tuple:
    """Scores with ties, returns with ties and holes, and a mask."""
    rng = np.random.default_rng([seed, 17])
    scores = rng.integers(0, values, (bars, names)) / 4.0
    payoffs = rng.integers(-values, values, (bars, names)) / 100.0
    payoffs[rng.random(payoffs.shape) < 0.1] = math.nan
    scores[rng.random(payoffs.shape) < 0.05] = math.inf
    mask = rng.random(scores.shape) < 0.8
    mask[0] = False
    return scores, payoffs, mask


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), values=st.integers(1, 40))
def test_ics_equal_those_of_the_report(seed: int, values: int) -> None:
    scores, payoffs, mask = random_block(seed, values=values)
    tensors = [torch.tensor(part) for part in (scores, payoffs, mask)]
    shown = np.where(mask, scores, math.nan)
    np.testing.assert_allclose(
        rank_ic(*tensors, 5).numpy(), report.rank_ic(shown, payoffs, 5), atol=1e-12
    )
    if values > 1:
        np.testing.assert_allclose(
            pearson_ic(*tensors, 5).numpy(),
            report.correlation(shown, payoffs, 5),
            atol=1e-12,
        )


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), names=st.integers(3, 30))
def test_pearson_ic_equals_scipy_on_integers(seed: int, names: int) -> None:
    rng = np.random.default_rng([seed, 12])
    scores, outcomes = rng.integers(-50, 50, (2, 3, names)).astype(float)
    scores[:, 0], outcomes[:, 0] = 99, 99  # never constant
    mask = np.ones((3, names), dtype=bool)
    got = pearson_ic(*map(torch.tensor, (scores, outcomes, mask))).numpy()
    for bar in range(3):
        expected = stats.pearsonr(scores[bar], outcomes[bar])[0]
        np.testing.assert_allclose(got[bar], expected, atol=1e-12)


def test_equal_values_have_no_pearson_ic_whatever_their_mean_rounds_to() -> None:
    tied = torch.full((1, 3), 0.1, dtype=torch.float64)
    varied = torch.tensor([[1.0, 2.0, 4.0]])
    mask = torch.ones(1, 3, dtype=torch.bool)
    assert pearson_ic(tied, varied, mask).isnan().all()
    assert pearson_ic(varied, tied, mask).isnan().all()
    assert pearson_ic(varied, 3 * varied, mask).tolist() == [1.0]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    values=st.integers(1, 60),
    names=st.integers(1, 40),
    single=st.booleans(),
)
def test_order_equals_a_plain_sort(
    seed: int, values: int, names: int, single: bool
) -> None:
    """On the host and on a device, with zeros of both signs among the ties."""
    rng = np.random.default_rng([seed, 5])
    matrix = rng.integers(-values, values + 1, (5, names)) / 8.0
    matrix = np.where(rng.random(matrix.shape) < 0.2, -0.0, matrix)
    matrix = matrix.astype(np.float32 if single else np.float64)
    mask = rng.random(matrix.shape) < 0.8
    found = order_of(torch.tensor(matrix), torch.tensor(mask))
    keys = torch.where(torch.tensor(mask), -torch.tensor(matrix), torch.inf)
    slots, centred = ordering._device_order(keys, found.count)
    torch.testing.assert_close(centred, found.centred, rtol=0, atol=0)
    for bar in range(5):
        inside = np.flatnonzero(mask[bar]).tolist()
        expected = sorted(inside, key=lambda slot: (-matrix[bar, slot], slot))
        assert found.slots[bar, : len(inside)].tolist() == expected
        assert slots[bar, : len(inside)].tolist() == expected
        assert sorted(found.slots[bar].tolist()) == list(range(names))
        np.testing.assert_array_equal(
            found.ranks[bar, inside].numpy(), stats.rankdata(matrix[bar, inside])
        )
    assert (found.ranks[~torch.tensor(mask)] == 0).all()
    assert (found.centred[~torch.tensor(mask)] == 0).all()


def test_an_order_takes_integers_halves_and_gradients() -> None:
    mask = torch.ones(1, 3, dtype=torch.bool)
    for kind in (torch.int64, torch.float16, torch.bfloat16):
        values = torch.tensor([[2, 3, 1]], dtype=kind)
        assert order_of(values, mask).slots.tolist() == [[1, 0, 2]]
    learned = torch.tensor([[2.0, 3.0, 1.0]], requires_grad=True)
    assert not order_of(learned, mask).centred.requires_grad
    empty = torch.zeros(0, 3)
    assert rank_ic(empty, empty, empty.bool()).shape == (0,)
