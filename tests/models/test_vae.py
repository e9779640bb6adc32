"""The vae family: its limits in beta, its loss by hand, tasks, files and seeds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from neural_world import COMMON, samples, skill, split

from ranking_pipeline.errors import UserError
from ranking_pipeline.learning.losses import make_loss
from ranking_pipeline.learning.networks import NetworkSpec
from ranking_pipeline.learning.networks.bottleneck import (
    BottleneckLoss,
    BottleneckNetwork,
    divergence,
)
from ranking_pipeline.models.base import BaseModel
from ranking_pipeline.models.registry import create, family_type
from ranking_pipeline.models.samples import Samples

OWN = {"clip_sigma": 3.0, "code": 3, "beta": 0.001, "reconstruction": 0.1}
PARAMETERS: dict[str, Any] = COMMON | OWN | {"timestamps_per_batch": 8}


def fitted(train: Samples, validation: Samples | None, **changes: Any) -> BaseModel:
    model = create("vae", PARAMETERS | changes, seed=1, threads=1)
    model.fit(train, validation)
    return model


@pytest.mark.parametrize("task", ["regression", "binary", "three_class"])
def test_every_task_is_learned_and_survives_the_disk(task: str, tmp_path: Path) -> None:
    train, validation, test = split(samples(task))
    model = fitted(train, validation)
    output = model.predict(test)
    assert skill(output.score, test.target) > 0.6
    assert {"epoch", "train_loss", "validation_score"} <= set(model.history()[0])
    model.save(tmp_path)
    again = type(model).load(tmp_path, model.config, seed=1, threads=1).predict(test)
    np.testing.assert_array_equal(again.score, output.score)
    if task != "regression":
        assert output.probabilities is not None
        np.testing.assert_allclose(output.probabilities.sum(axis=1), 1, atol=1e-5)
        np.testing.assert_array_equal(again.probabilities, output.probabilities)


def test_a_dear_code_carries_nothing_and_a_free_one_does() -> None:
    train, validation, test = split(samples("regression"))
    spread, nats = [], []
    for beta in (0.0, 100.0):
        model = fitted(train, validation, beta=beta, epochs=12, patience=12)
        rows = torch.from_numpy(model._design(test.features)).unsqueeze(1)
        with torch.no_grad():
            mean, log_variance = model._network.body.encoder(rows).chunk(2, dim=1)
        nats.append(float(divergence(mean, log_variance).mean()))
        spread.append(float(model.predict(test).score.std()))
    assert nats[0] > 0.5
    assert nats[1] < 0.002
    assert spread[1] < 0.02 * spread[0]


def test_divergence_by_hand() -> None:
    mean = torch.tensor([[0.0, 0.0], [1.0, 2.0], [0.0, 0.0]])
    log_variance = torch.tensor([[0.0, 0.0], [0.0, 0.0], [1.0, -1.0]])
    # (e - 1 - 1) / 2 + (1/e - 1 + 1) / 2 in the last row
    expected = [0.0, 2.5, (np.e - 2 + 1 / np.e) / 2]
    np.testing.assert_allclose(divergence(mean, log_variance), expected, rtol=1e-6)


def test_the_loss_by_hand_with_and_without_weights() -> None:
    loss = BottleneckLoss(make_loss("mse"), 1, reconstruction=0.5, beta=0.25)
    # Columns: prediction, reconstruction error, divergence.
    scores = torch.tensor([[[1.0, 2.0, 4.0], [0.0, 6.0, 8.0], [9.0, 9.0, 9.0]]])
    targets, mask = torch.zeros((1, 3)), torch.tensor([[True, True, False]])
    value, counted = loss.days(scores, targets, mask)
    # ((1 + 1 + 1) + (0 + 3 + 2)) / 2
    assert (float(value), bool(counted)) == (4.0, True)
    weights = torch.tensor([[1.5, 0.5, 0.0]])
    value, _ = loss.days(scores, targets, mask, weights)
    assert float(value) == pytest.approx((1.5 * 3 + 0.5 * 5) / 2)


def test_days_of_a_ranking_loss_are_weighed_once() -> None:
    loss = BottleneckLoss(make_loss("pairwise"), 1, reconstruction=0.0, beta=0.0)
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn((2, 12, 3), generator=generator)
    targets = torch.randn((2, 12), generator=generator)
    mask, weights = torch.ones((2, 12)).bool(), torch.full((2, 12), 3.0)
    plain, _ = make_loss("pairwise").days(scores[..., 0], targets, mask)
    torch.testing.assert_close(loss.days(scores, targets, mask, weights)[0], 3 * plain)


def test_the_prediction_is_the_mean_over_draws_of_the_code() -> None:
    torch.manual_seed(0)
    network = BottleneckNetwork(NetworkSpec("vae", hidden=4), 1, 3, 2, code=2)
    window = torch.randn((1, 1, 3))
    with torch.no_grad():
        drawn = network(window.expand(20_000, 1, 3))
        expected = network.eval()(window)
    assert drawn.shape == (20_000, 4)
    np.testing.assert_allclose(drawn[:, :2].mean(0), expected[0], atol=0.01)


def test_the_seed_fixes_every_bit_and_threads_change_none() -> None:
    train, validation, test = split(samples("regression"))
    told = []
    for seed, threads in ((1, 1), (1, 2), (2, 1)):
        model = create("vae", PARAMETERS | {"epochs": 2}, seed=seed, threads=threads)
        model.fit(train, validation)
        told.append(model.predict(test).score.tobytes())
    assert told[0] == told[1] != told[2]


def test_rows_without_weight_are_not_learned() -> None:
    train, validation, test = split(samples("regression"))
    wrong = np.arange(len(train)) % 3 > 0
    target = np.where(wrong, -5 * train.target, train.target)
    weight = np.where(wrong, 0.0, 3.0).astype(np.float32)
    weighted = replace(train, target=target.astype(np.float32), weight=weight)
    assert skill(fitted(weighted, validation).predict(test).score, test.target) > 0.6
    blind = fitted(replace(weighted, weight=None), None)
    assert skill(blind.predict(test).score, test.target) < -0.6


def test_impossible_parameters_are_refused_together() -> None:
    with pytest.raises(UserError, match=r"(?s)code.*beta"):
        create("vae", PARAMETERS | {"code": 0, "beta": -1.0}, seed=1, threads=1)
    assert family_type("vae").experimental
