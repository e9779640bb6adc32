"""Symbol scores: the test of an own score has its size where there is no signal."""

import numpy as np
import pytest
from planted_world import signal_world
from routing_examples import routing_config

from ranking_pipeline.evaluation.inference import block_test
from ranking_pipeline.routing.symbol_scores import (
    compare_symbols,
    of_two_sided_folds,
    ranked_outcome,
)


def test_widened_test_by_hand() -> None:
    series = np.random.default_rng(0).normal(0.1, 1.0, 400)
    plain = block_test(series, 10)
    wide = of_two_sided_folds(plain)
    assert wide.mean == plain.mean
    assert wide.t == pytest.approx(plain.t / np.sqrt(2))
    assert wide.standard_error == pytest.approx(plain.standard_error * np.sqrt(2))
    assert wide.ci_high - wide.ci_low == pytest.approx(
        np.sqrt(2) * (plain.ci_high - plain.ci_low)
    )
    assert plain.p < wide.p < 0.5
    assert block_test(series[:50], 10).t is not None
    assert np.isnan(of_two_sided_folds(block_test(series[:50], 10)).p)


def test_size_of_the_own_test_without_a_signal() -> None:
    found = []
    for seed in range(2):
        world = signal_world(0.0, n_bars=700, n_symbols=60, n_features=12, seed=seed)
        config = routing_config()
        names = [f"noise_{k:02d}" for k in range(12)]
        problem = world.data().problem("fwd_ret_1d", config).for_models(names)
        folds = problem.two_sided_folds(4)
        pooled = np.random.default_rng(seed).normal(size=len(problem.samples))
        found += compare_symbols(problem, pooled, folds, config)
    t = np.array([score.own.t for score in found if score.own is not None])
    assert len(t) == 120
    # 1.4 without the widening; twice the error of a deviation is 0.13
    assert 0.8 < t.std() < 1.15


def test_outcome_over_time_is_ranked_within_the_symbol() -> None:
    world = signal_world(0.1, n_bars=300, n_symbols=3, n_features=2)
    problem = world.data().problem("fwd_ret_1d", routing_config())
    outcome = ranked_outcome(problem)
    for symbol in range(3):
        rows = problem.samples.symbols == symbol
        order = np.argsort(problem.outcome[rows])
        assert (np.diff(outcome[rows][order]) >= 0).all()
        assert abs(outcome[rows].mean()) < 1e-3
