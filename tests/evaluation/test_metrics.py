"""Metrics per bar, against scipy bar by bar and by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ranking_pipeline.evaluation import metrics

SHAPE = (40, 30)


def noisy(seed: int, *, ties: bool = True) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    score, outcome = rng.normal(size=SHAPE), rng.normal(size=SHAPE)
    if ties:
        score, outcome = score.round(1), outcome.round(1)
    score[rng.random(SHAPE) < 0.1] = np.nan
    outcome[rng.random(SHAPE) < 0.1] = np.nan
    return score, outcome


def test_rank_ic_equals_scipy_per_bar() -> None:
    score, outcome = noisy(1)
    got = metrics.rank_ic(score, outcome, 5)
    for bar in range(len(score)):
        both = np.isfinite(score[bar]) & np.isfinite(outcome[bar])
        expected = stats.spearmanr(score[bar, both], outcome[bar, both]).statistic
        assert got[bar] == pytest.approx(expected, abs=1e-12)


def test_rank_ic_is_missing_when_small_or_flat() -> None:
    score = np.array([[1.0, 2, 3, np.nan], [1, 1, 1, 1], [1, 2, 3, 4], [np.nan] * 4])
    outcome = np.array([[1.0, 2, 3, 4]] * 4)
    got = metrics.rank_ic(score, outcome, 4)
    assert np.isnan(got[[0, 1, 3]]).all()
    assert got[2] == 1.0


def test_infinite_scores_are_absent() -> None:
    score = np.array([[np.inf, 1.0, 2.0, 3.0]])
    assert metrics.rank_ic(score, np.array([[9.0, 1, 2, 3]]), 2)[0] == 1.0


@pytest.mark.parametrize("negative", [-1, 0])
def test_auc_skill_equals_pairwise_count(negative: int) -> None:
    score, _ = noisy(2)
    label = np.random.default_rng(3).integers(-1, 2, SHAPE).astype(float)
    got = metrics.auc_skill(score, label, min_per_class=2, negative=negative)
    for bar in range(len(score)):
        finite = np.isfinite(score[bar])
        high = score[bar, finite & (label[bar] == 1)]
        low = score[bar, finite & (label[bar] == negative)]
        wins = np.sign(high[:, None] - low[None, :]).mean()
        assert got[bar] == pytest.approx(wins, abs=1e-12)


def test_auc_skill_wants_enough_of_each_class() -> None:
    score = np.arange(10.0)[None, :]
    label = np.array([[1.0] * 4 + [-1] * 6])
    assert np.isnan(metrics.auc_skill(score, label)[0])
    assert metrics.auc_skill(score, label, min_per_class=4)[0] == -1.0


def test_tail_spread_by_hand() -> None:
    score = np.arange(20.0)[None, :]
    payoff = np.zeros((1, 20))
    payoff[0, [18, 19]] = 0.03, 0.01
    payoff[0, [0, 1]] = -0.01, 0.02
    assert metrics.tail_spread(score, payoff, 0.1, 5)[0] == pytest.approx(0.015)
    assert np.isnan(metrics.tail_spread(score, payoff, 0.1, 21)[0])


def test_ties_go_by_symbol() -> None:
    longs, shorts = metrics.tails(np.tile([1.0, 0.0], (1, 150)), 0.1)
    assert np.flatnonzero(longs).tolist() == list(range(0, 60, 2))
    assert np.flatnonzero(shorts).tolist() == list(range(241, 300, 2))


@pytest.mark.parametrize(
    ("n", "share", "size"),
    [(0, 0.1, 0), (1, 0.1, 0), (2, 0.1, 1), (3, 0.5, 1), (19, 0.1, 1), (20, 0.1, 2),
     (100, 0.29, 29), (7, 0.9, 3)],
)  # fmt: skip
def test_tail_size(n: int, share: float, size: int) -> None:
    assert metrics.tail_size(np.array([n]), share)[0] == size


@settings(max_examples=40, deadline=None)
@given(n=st.integers(0, 25), share=st.floats(0.01, 0.5), seed=st.integers(0, 99))
def test_tails_are_disjoint_and_equal(n: int, share: float, seed: int) -> None:
    score = np.full((1, 25), np.nan)
    score[0, :n] = np.random.default_rng(seed).integers(0, 3, n)
    longs, shorts = metrics.tails(score, share)
    assert not (longs & shorts).any()
    assert longs.sum() == shorts.sum() == metrics.tail_size(np.array([n]), share)[0]
    assert np.isfinite(score[longs | shorts]).all()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000))
def test_symmetries(seed: int) -> None:
    """Order, order of symbols, absent symbols: what must not matter does not."""
    score, outcome = noisy(seed, ties=False)
    ic = metrics.rank_ic(score, outcome, 5)
    spread = metrics.tail_spread(score, outcome, 0.1, 5)
    mixed = np.random.default_rng(seed).permutation(SHAPE[1])
    absent = np.full((SHAPE[0], 1), np.nan)
    for changed, payoff in (
        (np.exp(2 * score) + 7, outcome),
        (score[:, mixed], outcome[:, mixed]),
        (np.hstack([absent, score]), np.hstack([absent + 1, outcome])),
    ):
        np.testing.assert_allclose(metrics.rank_ic(changed, payoff, 5), ic, atol=1e-12)
        np.testing.assert_allclose(
            metrics.tail_spread(changed, payoff, 0.1, 5), spread, atol=1e-12
        )
    np.testing.assert_allclose(metrics.rank_ic(score, outcome**3, 5), ic, atol=1e-12)
    np.testing.assert_allclose(metrics.rank_ic(-score, outcome, 5), -ic, atol=1e-12)


def test_decile_means_keep_ties_together() -> None:
    score = np.concatenate([np.arange(10.0), np.arange(10.0)])[None, :]
    payoff = np.arange(20.0)[None, :]
    got = metrics.decile_means(score, payoff, 5)[0]
    np.testing.assert_allclose(got, np.arange(10) + 5.0)
    flat = metrics.decile_means(np.zeros((1, 20)), payoff, 5)[0]
    assert np.isfinite(flat).sum() == 1


def test_hit_rate_and_icir() -> None:
    series = np.array([0.1, -0.1, 0.3, np.nan])
    assert metrics.hit_rate(series) == pytest.approx(2 / 3)
    assert metrics.icir(series) == pytest.approx(0.1 / 0.2)
    assert np.isnan(metrics.hit_rate(np.array([np.nan])))
    assert np.isnan(metrics.icir(np.array([0.1])))
