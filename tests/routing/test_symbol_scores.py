"""Symbol scores: tests of own scores have their size where there is no signal."""

import numpy as np
from planted_world import signal_world
from routing_examples import routing_config

from ranking_pipeline.routing.symbol_scores import compare_symbols, ranked_outcome


def test_size_of_the_tests_without_a_signal() -> None:
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
    paired = [score.difference.t for score in found if score.difference is not None]
    assert 0.8 < np.std(paired) < 1.15  # 1.2 without the widening


def test_outcome_over_time_is_ranked_within_the_symbol() -> None:
    world = signal_world(0.1, n_bars=300, n_symbols=3, n_features=2)
    problem = world.data().problem("fwd_ret_1d", routing_config())
    outcome = ranked_outcome(problem)
    for symbol in range(3):
        rows = problem.samples.symbols == symbol
        order = np.argsort(problem.outcome[rows])
        assert (np.diff(outcome[rows][order]) >= 0).all()
        assert abs(outcome[rows].mean()) < 1e-3
