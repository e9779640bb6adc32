"""Partial pooling: slopes by hand, and an honest comparison."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from planted_world import signal_world
from routing_examples import routing_config

from ranking_pipeline.routing.partial_pooling import (
    PartialPooling,
    apply_slopes,
    partial_pooling,
    shrunk_slopes,
    slopes_of,
    standardised,
)
from ranking_pipeline.selection.problem import Fold, Problem

TARGET = "fwd_ret_1d"
REVERSED = [3, 17, 30]
LOADING = np.ones(40)
LOADING[REVERSED] = -2.0


def problem_of(
    loading: np.ndarray | None, n_bars: int = 600, ic: float = 0.12, n_symbols: int = 40
) -> tuple[Problem, np.ndarray, list[Fold]]:
    """A problem, the planted signal as its pooled score, and four folds."""
    world = signal_world(
        ic, n_bars=n_bars, n_symbols=n_symbols, n_features=1, loading=loading
    )
    problem = world.data().problem(TARGET, routing_config())
    names = problem.samples.feature_names
    score = problem.samples.features[:, names.index("signal")].astype(np.float64)
    return problem, score, problem.two_sided_folds(4)


@pytest.fixture(scope="module")
def mirrored() -> tuple[Problem, np.ndarray, list[Fold], PartialPooling]:
    problem, score, folds = problem_of(LOADING)
    return problem, score, folds, partial_pooling(problem, score, folds)


def test_slopes_are_those_of_a_plain_loop() -> None:
    problem, score, _ = problem_of(LOADING, n_bars=200)
    score[::11] = np.nan
    slopes = shrunk_slopes(problem, score)
    bars, symbols = problem.samples.bars, problem.samples.symbols
    x, y = np.full((2, len(score)), np.nan)
    for bar in np.unique(bars):
        here = (bars == bar) & np.isfinite(score)
        x[here] = standardised(score[here], bars[here])
        y[here] = standardised(problem.outcome[here], bars[here])
    for symbol in range(40):
        mine = (symbols == symbol) & np.isfinite(x)
        slope = (x[mine] @ y[mine]) / (x[mine] @ x[mine])
        assert slopes.raw[symbol] == pytest.approx(slope, abs=1e-6)
    between = np.sort([slopes.raw, np.full(40, slopes.mean)], axis=0)
    assert (slopes.slopes >= between[0] - 1e-12).all()
    assert (slopes.slopes <= between[1] + 1e-12).all()
    weight = 1 - slopes.errors**2 / (slopes.errors**2 + slopes.tau**2)
    expected = slopes.mean + weight * (slopes.raw - slopes.mean)
    np.testing.assert_allclose(slopes.slopes, expected, atol=1e-9)


def test_reversed_symbols_get_negative_slopes_and_the_score_gains(
    mirrored: tuple[Problem, np.ndarray, list[Fold], PartialPooling],
) -> None:
    found = mirrored[3]
    assert (found.slopes.slopes[REVERSED] < 0).all()
    assert (np.delete(found.slopes.slopes, REVERSED) > 0).mean() > 0.9
    assert found.difference.t > 3
    assert found.own.mean - found.pooled.mean == pytest.approx(found.difference.mean)
    assert found.slopes.by_symbol["S003"] == found.slopes.slopes[3]
    assert "over symbols" in found.reason


def test_slopes_of_a_fold_do_not_know_its_outcomes(
    mirrored: tuple[Problem, np.ndarray, list[Fold], PartialPooling],
) -> None:
    problem, score, folds, found = mirrored
    test = folds[1][1]
    outcome = problem.outcome.copy()
    outcome[test] = -50 * outcome[test][::-1]
    changed = partial_pooling(replace(problem, outcome=outcome), score, folds)
    np.testing.assert_array_equal(changed.score[test], found.score[test])
    other = folds[2][1]
    assert not np.array_equal(changed.score[other], found.score[other])
    assert changed.slopes.mean != found.slopes.mean


def test_equal_symbols_are_enough_for_the_pooled_score() -> None:
    problem, score, folds = problem_of(None, n_bars=400)
    found = partial_pooling(problem, score, folds)
    assert abs(found.difference.mean) < 0.1 * found.pooled.mean
    # outcomes that follow the score alike in all symbols leave nothing to tell apart
    noise = np.random.default_rng(0).normal(size=len(score))
    slopes = shrunk_slopes(replace(problem, outcome=score + 1e-2 * noise), score)
    np.testing.assert_allclose(slopes.slopes, 1.0, atol=1e-2)


def test_one_slope_for_all_says_so_and_ranks_as_the_score() -> None:
    problem, score, folds = problem_of(None, n_bars=300)
    rng = np.random.default_rng(0)
    for _ in range(20):
        noise = replace(problem, outcome=rng.normal(size=len(score)) + 0.5 * score)
        found = partial_pooling(noise, score, folds)
        if found.slopes.tau == 0:
            break
    assert found.slopes.tau == 0
    assert len(set(found.slopes.slopes.tolist())) == 1
    assert "pooled score is enough" in found.reason
    bars = problem.samples.bars
    ranked = apply_slopes(score, bars, found.slopes.slopes[problem.samples.symbols])
    np.testing.assert_allclose(noise.measure(ranked), noise.measure(score))


def test_a_common_slope_does_not_turn_the_ranking() -> None:
    problem, score, _ = problem_of(None, n_bars=300)
    rng = np.random.default_rng(1)
    for _ in range(20):
        outcome = rng.normal(size=len(score)) - 0.05 * score
        slopes = shrunk_slopes(replace(problem, outcome=outcome), score)
        assert np.nanmean(slopes.raw) < 0
        if slopes.tau == 0:
            break
    assert slopes.tau == 0
    assert (slopes.slopes == slopes.mean).all()
    assert slopes.mean > 0


def test_expanding_folds_compare_only_where_slopes_exist() -> None:
    problem, score, _ = problem_of(LOADING, n_bars=400)
    folds = problem.folds(4)
    inside = np.zeros(len(score), dtype=bool)
    inside[np.concatenate([test for _, test in folds])] = True
    found = partial_pooling(problem, np.where(inside, score, np.nan), folds)
    assert np.isnan(found.score[folds[0][1]]).all()
    assert np.isfinite(found.score[folds[-1][1]]).all()
    assert found.own.n_bars == found.pooled.n_bars


def test_applied_by_hand() -> None:
    score = np.array([0.3, np.nan, 0.9, 0.1, 5.0])
    bars = np.array([1, 1, 1, 1, 2])
    slopes = np.array([1.0, 1.0, -2.0, 0.5, 3.0])
    high = 0.9674215661017014  # Φ⁻¹(5/6)
    expected = [0.0, np.nan, -2 * high, -0.5 * high, 0.0]
    np.testing.assert_allclose(apply_slopes(score, bars, slopes), expected, atol=1e-6)


def test_unknown_symbols_take_the_mean_slope() -> None:
    entry = {"mean": 0.4, "slopes": {"A": 0.1, "B": -0.2}}
    np.testing.assert_array_equal(slopes_of(entry, ["B", "X", "A"]), [-0.2, 0.4, 0.1])


def test_symbols_without_rows_have_the_mean_and_one_symbol_has_one_slope() -> None:
    problem, score, _ = problem_of(LOADING, n_bars=300)
    absent = np.where(problem.samples.symbols == 5, np.nan, score)
    slopes = shrunk_slopes(problem, absent)
    assert np.isnan(slopes.raw[5])
    assert slopes.by_symbol["S005"] == slopes.mean
    nothing = shrunk_slopes(problem, np.full(len(score), np.nan))
    np.testing.assert_array_equal(nothing.slopes, np.ones(40))
    lone = np.where(problem.samples.symbols == 5, score, np.nan)
    # a bar of one symbol has no ranks: its normal score is 0, and so no slope
    assert shrunk_slopes(problem, lone).tau == 0


def test_the_order_of_the_symbols_plays_no_part() -> None:
    problem, score, _ = problem_of(LOADING, n_bars=200)
    order = np.random.default_rng(0).permutation(40)
    samples = problem.samples
    moved = replace(problem, samples=replace(samples, symbols=order[samples.symbols]))
    one, two = shrunk_slopes(problem, score), shrunk_slopes(moved, score)
    np.testing.assert_allclose(one.slopes, two.slopes[order], atol=1e-10)
