"""The multi_task family: helpers that help, heads, unknown helpers, and refusals."""

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
from ranking_pipeline.learning.networks.several_heads import SeveralTargets
from ranking_pipeline.models.registry import create
from ranking_pipeline.models.samples import Samples

PARAMETERS: dict[str, Any] = COMMON | {"clip_sigma": 3.0, "helper_share": 0.5}


def helped(task: str, seed: int = 0) -> Samples:
    """Rows with two helpers: the signal in cents, and noise that is often unknown."""
    rows = samples(task, seed)
    rng = np.random.default_rng([seed, 5])
    noise = rng.normal(size=len(rows))
    noise[rng.random(len(rows)) < 0.5] = np.nan
    helpers = np.stack([3 - 100 * rows.features[:, 0], noise], axis=1)
    return replace(
        rows, auxiliary=helpers.astype(np.float32), auxiliary_names=("cents", "noise")
    )


def fitted(train: Samples, validation: Samples | None, **changes: Any) -> Any:
    model = create("multi_task", PARAMETERS | changes, seed=1, threads=1)
    model.fit(train, validation)
    return model


@pytest.mark.parametrize("task", ["regression", "binary", "three_class"])
def test_every_task_is_learned_and_survives_the_disk(task: str, tmp_path: Path) -> None:
    train, validation, test = split(helped(task))
    model = fitted(train, validation)
    output, heads = model.predict(test), model.heads(test)
    assert skill(output.score, test.target) > 0.6
    model.save(tmp_path)
    again = type(model).load(tmp_path, model.config, seed=1, threads=1)
    np.testing.assert_array_equal(again.predict(test).score, output.score)
    np.testing.assert_array_equal(again.heads(test), heads)
    assert again.helper_names == ("cents", "noise")


def test_heads_are_the_score_and_each_helper_on_its_own_scale() -> None:
    train, validation, test = split(helped("regression"))
    model = fitted(train, validation, epochs=40, patience=40)
    heads = model.heads(test)
    assert (heads.shape, heads.dtype) == ((len(test), 3), np.float32)
    np.testing.assert_array_equal(heads[:, 0], model.predict(test).score)
    assert test.auxiliary is not None
    error = heads[:, 1] - test.auxiliary[:, 0]
    assert np.sqrt(np.mean(error**2)) < 0.3 * test.auxiliary[:, 0].std()
    assert abs(skill(heads[:, 1], heads[:, 2])) < 0.95


def test_a_helper_of_the_same_signal_and_less_noise_improves_the_main_target() -> None:
    gains = []
    for seed in range(3):
        rows = helped("regression", seed)
        rng = np.random.default_rng([seed, 6])
        features = rng.normal(size=(len(rows), 20)).astype(np.float32)
        signal = features[:, 0] - features[:, 1]
        target = 0.2 * signal + rng.normal(size=len(rows))
        helper = signal + 0.3 * rng.normal(size=len(rows))
        rows = replace(
            rows,
            features=features,
            feature_names=tuple(f"x{k}" for k in range(20)),
            target=target.astype(np.float32),
            auxiliary=helper[:, None].astype(np.float32),
            auxiliary_names=("clear",),
        )
        train, _, test = split(rows)
        told = [signal[rows.bars >= 116]]
        for share in (0.0, 2.0):
            model = fitted(train, None, helper_share=share, epochs=15)
            told.append(model.predict(test).score)
        gains.append(skill(told[2], told[0]) - skill(told[1], told[0]))
    assert min(gains) > 0.05


def test_the_loss_by_hand() -> None:
    # Two bars, two names, two helpers; the second bar knows no helper.
    unknown = torch.nan
    helpers = torch.tensor(
        [[[0.0, 0.0], [2.0, unknown]], [[unknown, unknown], [unknown, unknown]]]
    )
    loss = SeveralTargets(make_loss("mse"), 1, helpers, share=0.5)
    scores = torch.tensor(
        [[[1.0, 0.5, 1.0], [3.0, 5.0, 7.0]], [[2.0, 9.0, 9.0], [0.0, 9.0, 9.0]]]
    )
    targets, mask = torch.zeros((2, 2)), torch.ones((2, 2)).bool()
    # Huber: 0.5 -> 0.125, 1 -> 0.5, 3 -> 2.5; the second helper has one name.
    first = (1 + 9) / 2 + 0.5 * ((0.125 + 2.5) / 2 + 0.5) / 2
    value, counted = loss.days(scores, targets, mask)
    np.testing.assert_allclose(value, [first, 2.0])
    assert counted.all()
    weights = torch.tensor([[2.0, 0.0], [1.0, 1.0]])
    value, _ = loss.days(scores, targets, mask, weights)
    np.testing.assert_allclose(
        value, [2 * 1 / 2 + 0.5 * (2 * 0.125 + 2 * 0.5) / 2, 2.0]
    )


def test_the_seed_fixes_every_bit_and_threads_change_none() -> None:
    train, validation, test = split(helped("regression"))
    told = []
    for seed, threads in ((1, 1), (1, 2), (2, 1)):
        model = create("multi_task", PARAMETERS, seed=seed, threads=threads)
        model.fit(train, validation)
        told.append(model.heads(test).tobytes())
    assert told[0] == told[1] != told[2]


def test_rows_without_further_targets_are_refused() -> None:
    train, _, _ = split(samples("regression"))
    with pytest.raises(UserError, match=r"model_training\.strategy"):
        fitted(train, None)


def test_a_further_target_that_is_never_known_is_named() -> None:
    train, _, _ = split(helped("regression"))
    assert train.auxiliary is not None
    for wrong in (np.nan, np.inf):
        helpers = train.auxiliary.copy()
        helpers[:, 1] = wrong
        with pytest.raises(UserError, match=r"never known: noise"):
            fitted(replace(train, auxiliary=helpers), None)
