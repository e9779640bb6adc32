"""Permutation importance: against a slow version, and the rows it is measured on."""

from dataclasses import replace

import numpy as np
import pytest
from planted_world import RIDGE, selection_config, signal_world

from ranking_pipeline.selection.importance_rows import (
    sample_folds,
    spread_rows,
    take_rows,
)
from ranking_pipeline.selection.out_of_fold import fit_family
from ranking_pipeline.selection.permutation import permutation_importance
from ranking_pipeline.selection.problem import Problem

NAMES = ("noise_00", "signal")


def fitted(ic: float = 0.3, **changes: object) -> tuple[Problem, object, np.ndarray]:
    config = selection_config(**changes)
    problem = signal_world(ic).data().problem("fwd_ret_1d", config).for_models(NAMES)
    train, test = problem.folds(2)[-1]
    family = config.model_families[0]
    return problem, fit_family(problem.samples.take(train), family, config), test


def test_permutation_agrees_with_a_slow_version() -> None:
    problem, model, test = fitted()
    rows = problem.samples.take(test)
    base = np.nanmean(problem.measure(model.predict(rows).score, test))
    losses = np.zeros(2)
    for repeat in range(2):
        draws = np.random.default_rng([5, repeat]).random(len(rows))
        for column in range(2):
            features = rows.features.copy()
            for bar in np.unique(rows.bars):
                here = np.flatnonzero(rows.bars == bar)
                source = here[np.argsort(draws[here])]
                features[here, column] = rows.features[source, column]
            score = model.predict(replace(rows, features=features)).score
            losses[column] += (base - np.nanmean(problem.measure(score, test))) / 2
    found = permutation_importance(problem, model, test, 2, seed=5)
    np.testing.assert_allclose(found, losses, atol=1e-12)


def test_permutation_finds_what_the_model_uses() -> None:
    problem, model, test = fitted()
    before = problem.samples.features.copy()
    losses = permutation_importance(problem, model, test, 2, seed=0)
    base = np.nanmean(
        problem.measure(model.predict(problem.samples.take(test)).score, test)
    )
    assert losses[1] == pytest.approx(base, abs=0.05)
    assert abs(losses[0]) < 0.05
    again = permutation_importance(problem, model, test, 2, seed=0)
    np.testing.assert_array_equal(losses, again)
    np.testing.assert_array_equal(before, problem.samples.features)


def test_order_of_columns_permutes_the_losses() -> None:
    options = {"model_families": ("ridge",), "family_parameters": RIDGE}
    problem, model, test = fitted(**options)
    config = selection_config(**options)
    turned = problem.for_models(NAMES[::-1])
    train, _ = problem.folds(2)[-1]
    other = fit_family(turned.samples.take(train), "ridge", config)
    first = permutation_importance(problem, model, test, 1, seed=3)
    second = permutation_importance(turned, other, test, 1, seed=3)
    np.testing.assert_allclose(first, second[::-1], atol=1e-6)


def test_over_time_a_column_is_shuffled_within_its_symbol() -> None:
    problem, model, test = fitted(0.5)
    one = problem.samples.symbols[test] == 3
    alone = take_rows(problem, test[one])
    rows = np.arange(int(one.sum()))
    # one symbol: a shuffle within bars changes nothing at all
    view = replace(alone, view="time_series")
    losses = permutation_importance(view, model, rows, 3, seed=0)
    assert losses[1] > 0.1 > abs(losses[0])


def test_rows_are_bounded_and_spread() -> None:
    config = selection_config()
    samples = signal_world(0.1).data().problem("fwd_ret_1d", config).samples
    rows = np.flatnonzero(samples.bars >= 100)
    kept = spread_rows(samples.bars, rows, 500, seed=1)
    assert 300 < len(kept) <= 500
    assert np.isin(kept, rows).all()
    assert (np.diff(kept) > 0).all()
    bars = samples.bars[kept]
    assert bars.min() < 140
    assert bars.max() > samples.bars.max() - 40
    np.testing.assert_array_equal(spread_rows(samples.bars, rows, 10**6, seed=1), rows)


def test_sampled_problem_holds_the_same_rows() -> None:
    config = selection_config(max_train_rows=3000, permutation_max_rows=900)
    problem = signal_world(0.1).data().problem("fwd_ret_1d", config)
    small, folds = sample_folds(problem, NAMES, config)
    whole = problem.for_models(NAMES)
    assert len(small.samples) < len(problem.samples)
    for fold, (train, test) in zip(folds, problem.folds(2), strict=True):
        assert len(fold.train) <= 3000
        assert len(fold.shuffled) <= 450
        for rows, source in ((fold.train, train), (fold.shuffled, test)):
            cell = small.samples.bars[rows] * 1000 + small.samples.symbols[rows]
            own = whole.samples.bars * 1000 + whole.samples.symbols
            places = np.searchsorted(own, cell)
            assert np.isin(places, source).all()
            np.testing.assert_array_equal(
                small.samples.features[rows], whole.samples.features[places]
            )
            np.testing.assert_array_equal(small.outcome[rows], whole.outcome[places])
