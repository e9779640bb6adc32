"""The gan family: centre and spread of known noise, its scores by hand, files, seeds."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from neural_world import samples

from ranking_pipeline.errors import UserError
from ranking_pipeline.learning.networks import NetworkSpec
from ranking_pipeline.learning.networks.generator import (
    CriticNetwork,
    GeneratorNetwork,
    critic_loss,
    ranked_probability,
)
from ranking_pipeline.models.families.gan import _mean_score
from ranking_pipeline.models.registry import create, family_type
from ranking_pipeline.models.samples import Samples
from ranking_pipeline.panel import OHLCV, Panel

PARAMETERS: dict[str, Any] = {
    "hidden": 32,
    "layers": 2,
    "noise": 4,
    "draws": 64,
    "critic_steps": 3,
    "slope_penalty": 0.1,
    "averaging": 0.95,
    "epochs": 30,
    "timestamps_per_batch": 2,
    "learning_rate": 0.003,
    "weight_decay": 0.0,
    "gradient_clip": 10.0,
    "patience": 10,
    "min_delta": 0.0,
    "device": "cpu",
    "clip_sigma": 3.0,
}
SHORT = PARAMETERS | {"epochs": 2, "hidden": 8, "draws": 8}
BARS = (80, 100)


@lru_cache
def noisy(n_symbols: int = 50, n_bars: int = 120) -> Samples:
    """Rows with centre 0.8 x0 and a noise of 1 where x1 > 0, else of 0.3."""
    rng = np.random.default_rng(4)
    panel = Panel(
        tuple(f"S{k:02d}" for k in range(n_symbols)),
        np.datetime64("2024-01-01", "ns") + np.arange(n_bars) * np.timedelta64(1, "D"),
        OHLCV,
        np.ones((n_symbols, n_bars, 5), dtype=np.float32),
        np.ones((n_symbols, n_bars), dtype=bool),
    )
    bars, symbols = panel.rows()
    features = rng.normal(size=(len(bars), 3)).astype(np.float32)
    noise = np.where(features[:, 1] > 0, 1.0, 0.3) * rng.normal(size=len(bars))
    target = (0.8 * features[:, 0] + noise).astype(np.float32)
    names = ("centre", "spread", "nothing")
    return Samples(
        panel, bars, symbols, features, names, target, bars + 1, "regression"
    )


def parts(rows: Samples) -> tuple[Samples, Samples, Samples]:
    """Train, validation and test rows."""
    first, second = BARS
    return (
        rows.take(rows.bars < first - 1),
        rows.take((rows.bars >= first) & (rows.bars < second - 1)),
        rows.take(rows.bars >= second),
    )


def fitted(train: Samples, validation: Samples | None, **changes: Any) -> Any:
    model = create("gan", PARAMETERS | changes, seed=1, threads=1)
    model.fit(train, validation)
    return model


@pytest.mark.slow
def test_centre_and_spread_of_known_noise_are_recovered() -> None:
    train, validation, test = parts(noisy())
    model = fitted(train, validation)
    error = model.predict(test).score - 0.8 * test.features[:, 0]
    assert np.sqrt(np.mean(error**2)) < 0.2
    low, middle, high = model.quantiles(test, (0.1, 0.5, 0.9)).T
    assert (low <= middle).all()
    assert (middle <= high).all()
    wide = test.features[:, 1] > 0.5
    calm = test.features[:, 1] < -0.5
    # 80 % of a normal distribution lie within 2 * 1.2816 deviations.
    deviation = (high - low) / 2.563
    assert 0.7 < deviation[wide].mean() < 1.3
    assert 0.2 < deviation[calm].mean() < 0.5
    inside = (test.target > low) & (test.target < high)
    assert 0.65 < inside.mean() < 0.9


def test_the_prediction_is_the_mean_of_draws_that_balance() -> None:
    train, validation, test = parts(noisy())
    model = fitted(train, validation, **SHORT)
    generator = model._network.body
    np.testing.assert_allclose(generator.draws.sum(dim=0), 0, atol=1e-5)
    rows = torch.from_numpy(model._design(test.features)).unsqueeze(1)
    with torch.no_grad():
        told = generator.outcomes(rows).double().mean(dim=1).numpy()
    scale, shift = model._facts["target_deviation"], model._facts["target_mean"]
    np.testing.assert_allclose(
        model.predict(test).score, told * scale + shift, atol=1e-5
    )


def test_files_seed_and_threads_change_nothing(tmp_path: Path) -> None:
    train, validation, test = parts(noisy())
    told = []
    for seed, threads in ((1, 1), (1, 2), (2, 1)):
        model = create("gan", SHORT, seed=seed, threads=threads)
        model.fit(train, validation)
        told.append(model.predict(test).score.tobytes())
    assert told[0] == told[1] != told[2]
    model.save(tmp_path)
    again = type(model).load(tmp_path, model.config, seed=9, threads=1)
    assert again.predict(test).score.tobytes() == told[2]
    levels = (0.0, 0.3, 1.0)
    np.testing.assert_array_equal(
        again.quantiles(test, levels), model.quantiles(test, levels)
    )
    assert {"epoch", "train_loss", "validation_score"} <= set(model.history()[0])


def test_rows_without_weight_are_not_learned() -> None:
    train, validation, test = parts(noisy())
    wrong = np.arange(len(train)) % 2 > 0
    target = np.where(wrong, train.target + 10, train.target).astype(np.float32)
    weight = np.where(wrong, 0.0, 2.0).astype(np.float32)
    model = fitted(
        replace(train, target=target, weight=weight), validation, epochs=10, draws=8
    )
    score = model.predict(test).score
    assert abs(score.mean()) < 1.5
    assert np.corrcoef(score, test.features[:, 0])[0, 1] > 0.5


def test_a_batch_without_weight_changes_nothing_and_is_no_nan() -> None:
    train, validation, _ = parts(noisy())
    weight = np.where(train.bars < 40, 0.0, 1.0).astype(np.float32)
    nothing = replace(validation, weight=np.zeros(len(validation), np.float32))
    model = fitted(replace(train, weight=weight), nothing, **SHORT)
    assert np.isfinite(model.predict(validation).score).all()
    assert np.isfinite([row["train_loss"] for row in model.history()]).all()


def test_validation_weights_choose_the_epoch() -> None:
    train, validation, _ = parts(noisy())
    weight = np.linspace(0, 2, len(validation)).astype(np.float32)
    plain = fitted(train, validation, **SHORT).history()
    alike = replace(validation, weight=np.ones_like(weight))
    weighed = fitted(train, replace(validation, weight=weight), **SHORT).history()
    same = fitted(train, alike, **SHORT).history()
    first = plain[0]["validation_score"]
    assert same[0]["validation_score"] == pytest.approx(first, rel=1e-5)
    assert weighed[0]["validation_score"] != pytest.approx(first, rel=1e-5)


def test_unknown_factors_are_no_obstacle() -> None:
    train, validation, test = parts(noisy())
    features = train.features.copy()
    features[::7, 1] = np.nan
    model = fitted(replace(train, features=features), validation, **SHORT)
    blank = np.full_like(test.features, np.nan)
    assert np.isfinite(model.predict(replace(test, features=blank)).score).all()


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.floats(-5, 5, width=32), min_size=1, max_size=7),
    st.floats(-5, 5, width=32),
)
def test_ranked_probability_equals_its_definition(
    draws: list[float], real: float
) -> None:
    values = np.array(draws)
    apart = np.abs(values[:, None] - values[None]).mean()
    expected = np.abs(values - real).mean() - apart / 2
    told = ranked_probability(
        torch.tensor([draws], dtype=torch.float64),
        torch.tensor([real], dtype=torch.float64),
    )
    assert float(told[0]) == pytest.approx(expected, abs=1e-9)


def test_the_critics_loss_by_hand() -> None:
    critic = CriticNetwork(NetworkSpec("gan", hidden=1), 1, 1)
    with torch.no_grad():
        for parameter in critic.parameters():
            parameter.fill_(0.0)
        critic.followed.weight.fill_(1.0)
        critic.seen.bias.fill_(10.0)  # the unit stays in its steep part
        critic.told[1].weight.fill_(3.0)
    real, drawn = torch.tensor([1.0, 2.0]), torch.tensor([0.0, 4.0])
    weights = torch.tensor([0.25, 0.75])
    loss = critic_loss(critic, torch.zeros((2, 1, 1)), real, drawn, weights, 0.5)
    # 3 (drawn - real) + 0.5 (3 - 1)^2 in each row
    assert float(loss.detach()) == pytest.approx(0.25 * (-3 + 2) + 0.75 * (6 + 2))


def test_draws_are_part_of_the_state() -> None:
    torch.manual_seed(0)
    network = GeneratorNetwork(NetworkSpec("gan", hidden=4), 1, 3, noise=2, draws=6)
    assert network.state_dict()["draws"].shape == (6, 2)
    assert network.outcomes(torch.zeros((5, 1, 3))).shape == (5, 6)
    assert network.sample(torch.zeros((5, 1, 3))).shape == (5,)


def test_classes_odd_draws_and_levels_beyond_one_are_refused() -> None:
    assert family_type("gan").experimental
    with pytest.raises(UserError, match="task 'binary' is not one of"):
        fitted(samples("binary"), None)
    with pytest.raises(UserError, match=r"(?s)draws.*multiple of 2"):
        create("gan", PARAMETERS | {"draws": 7}, seed=1, threads=1)
    train, _, test = parts(noisy())
    with pytest.raises(UserError, match="from 0 to 1"):
        fitted(train, None, **SHORT).quantiles(test, (0.5, 1.5))


def test_the_validation_score_is_a_weighted_mean_over_all_of_its_rows() -> None:
    """Not a mean of the means of batches: late bars weigh more than early ones here."""
    train, _, _ = parts(noisy())
    weight = np.where(train.bars < 40, 0.1, 1.9).astype(np.float32)
    rows = replace(train, weight=weight)
    model = fitted(train, None, **SHORT)
    block, _ = model._block(rows, model._learned(rows))
    with torch.no_grad():
        design = torch.from_numpy(model._design(rows.features)).unsqueeze(1)
        outcomes = model._generator.outcomes(design)
        real = torch.from_numpy(model._learned(rows)).float()
        own = ranked_probability(outcomes, real).double().numpy()
    expected = np.average(own, weights=weight)
    assert _mean_score(model._generator, block) == pytest.approx(expected, rel=1e-5)
    assert abs(expected - own.mean()) > 1e-4 * abs(expected)
