"""Two-sided folds: what pairs of rows that enter twice do to a test."""

from dataclasses import replace

import numpy as np
import pytest
from planted_world import signal_world
from routing_examples import routing_config

from ranking_pipeline.evaluation.inference import block_test
from ranking_pipeline.routing.two_sided import (
    mirrored_share,
    of_difference,
    of_two_sided_folds,
)
from ranking_pipeline.selection.out_of_fold import combine, out_of_fold

SERIES = np.random.default_rng(0).normal(0.1, 1.0, 400)


@pytest.mark.parametrize("share", [1.0, 0.5, 0.1])
def test_widened_test_by_hand(share: float) -> None:
    plain = block_test(SERIES, 10)
    wide, factor = of_two_sided_folds(plain, share), np.sqrt(1 + share)
    assert wide.mean == plain.mean
    assert wide.t == pytest.approx(plain.t / factor)
    assert wide.standard_error == pytest.approx(plain.standard_error * factor)
    assert wide.ci_high - wide.ci_low == pytest.approx(
        factor * (plain.ci_high - plain.ci_low)
    )
    assert plain.p < wide.p < 0.5


def test_what_was_not_measured_stays_so() -> None:
    short = block_test(SERIES[:50], 10)
    assert np.isnan(of_two_sided_folds(short).p)
    assert np.isnan(of_difference(short, short).p)


def test_difference_gets_the_missing_variance_of_the_own_score() -> None:
    plain = block_test(SERIES, 10)
    difference = replace(plain, standard_error=0.3, t=3.0)
    wide = of_difference(difference, replace(plain, standard_error=0.4))
    assert wide.standard_error == pytest.approx(0.5)  # 0.3² + 0.4²
    assert wide.t == pytest.approx(3.0 * 0.3 / 0.5)
    # an own score without noise has nothing to come back
    assert of_difference(difference, replace(plain, standard_error=0.0)).t == 3.0


def test_mirrored_share_by_hand() -> None:
    bars = np.repeat(np.arange(40), 5)
    rows = np.arange(200)
    folds = [(rows[100:], rows[:100]), (rows[:100], rows[100:])]
    assert mirrored_share(bars, folds, 1000) == 1.0
    assert mirrored_share(bars, folds, 25) == 0.25
    # bars are left out as a whole
    assert mirrored_share(bars, folds, 29) == 0.25
    assert mirrored_share(bars, [], 29) == 1.0


def test_every_pair_enters_as_often_as_the_share_says() -> None:
    """Fixed noise, linear scores without an intercept: the variance ratio by count."""
    rng = np.random.default_rng(1)
    for share in (1.0, 0.5):
        kept = np.arange(200) % 100 < 100 * share
        sums = []
        for _ in range(2000):
            x, y = rng.normal(size=(2, 200))
            fit = [(x * y)[:100][kept[:100]].sum(), (x * y)[100:][kept[100:]].sum()]
            score = np.r_[fit[1] * x[:100], fit[0] * x[100:]]
            products = score * y
            sums.append([products.sum(), *(products.reshape(20, 10).sum(axis=1))])
        found = np.array(sums)
        ratio = found[:, 0].var() / found[:, 1:].var(axis=0).sum()
        assert ratio == pytest.approx(1 + share, rel=0.15)


@pytest.mark.slow
@pytest.mark.parametrize("share", [1.0, 0.5])
def test_size_of_the_pooled_test_without_a_signal(share: float) -> None:
    found = []
    for seed in range(80):
        world = signal_world(0.0, n_bars=700, n_symbols=40, n_features=12, seed=seed)
        config, names = routing_config(), [f"noise_{k:02d}" for k in range(12)]
        problem = world.data().problem("fwd_ret_1d", config).for_models(names)
        folds = problem.two_sided_folds(4)
        rows = int(np.ceil(share * len(folds[0][0])))
        config = config.model_copy(update={"max_train_rows": rows})
        score = combine(out_of_fold(problem, ["ridge"], config, folds), problem)
        mirrored = mirrored_share(problem.samples.bars, folds, rows)
        plain = block_test(problem.measure(score), problem.block_bars)
        found.append(of_two_sided_folds(plain, mirrored).t)
    # 1.5 and 1.3 without the widening; the error of a deviation is 0.08
    assert 0.8 < np.std(found) < 1.25
