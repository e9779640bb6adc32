"""Weights of cells: pointwise losses weigh names, the others weigh days."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from training_world import BARS, CONFIG, LENGTH, SYMBOLS, blocks, network_of, world

from ranking_pipeline.learning.cross_sections import CrossSections
from ranking_pipeline.learning.loop import negative_loss, score, train
from ranking_pipeline.learning.losses import loss_names, make_loss
from ranking_pipeline.learning.losses.base import DAY_WEIGHTS
from ranking_pipeline.learning.steps import block_tables

SCORES = torch.tensor([[1.0, 3.0, 0.0], [2.0, 0.0, 1.0]])
TARGETS = torch.tensor([[0.0, 1.0, 0.0], [1.0, 1.0, 3.0]])
MASK = torch.tensor([[True, True, False], [True, True, True]])
WEIGHTS = torch.tensor([[0.5, 2.5, 0.0], [3.0, 0.0, 1.5]])
PARAMETERS: dict[str, dict[str, Any]] = {
    "mixture": {"terms": {"pointwise": 1.0, "ic": 0.5}}
}


def value(name: str, weights: Tensor | None, scores: Tensor = SCORES) -> Tensor:
    loss = make_loss(name, **PARAMETERS.get(name, {}))
    return loss.days(scores, TARGETS, MASK, weights)[0]


def block_of(weights: np.ndarray[Any, Any] | None) -> CrossSections:
    inputs, targets = world()
    return CrossSections.build(
        inputs, targets, np.ones((BARS, SYMBOLS), dtype=bool), 10, weights
    )


def test_squared_errors_are_weighed_one_by_one() -> None:
    # Day 1: errors 1 and 4; day 2: errors 1, 1 and 4.
    expected = torch.tensor([(0.5 * 1 + 2.5 * 4) / 2, (3 * 1 + 0 * 1 + 1.5 * 4) / 3])
    torch.testing.assert_close(value("pointwise", WEIGHTS), expected)


def test_classes_are_weighed_one_by_one() -> None:
    logits = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(1))
    loss = make_loss("cross_entropy")
    own = -logits.log_softmax(2).gather(2, TARGETS.long().unsqueeze(2)).squeeze(2)
    expected = (own * WEIGHTS * MASK).sum(1) / MASK.sum(1)
    found, counted = loss.days(logits, TARGETS, MASK, WEIGHTS)
    torch.testing.assert_close(found, expected)
    assert counted.all()


@pytest.mark.parametrize(
    "name", sorted(set(loss_names()) - {"pointwise", "huber", "cross_entropy"})
)
def test_other_losses_weigh_days_by_the_mean_weight_of_their_cells(name: str) -> None:
    days = torch.tensor([(0.5 + 2.5) / 2, (3 + 0 + 1.5) / 3])
    draws = torch.random.get_rng_state()
    plain = value(name, None)
    torch.random.set_rng_state(draws)
    torch.testing.assert_close(value(name, WEIGHTS), plain * days)


@pytest.mark.parametrize("name", ["pointwise", "ic", "mixture", "pairwise"])
def test_weights_of_one_change_no_bit(name: str) -> None:
    ones = torch.ones_like(WEIGHTS)
    assert torch.equal(value(name, ones), value(name, None))


def test_the_measure_of_validation_is_weighed_too() -> None:
    loss = make_loss("pointwise")
    for weights in (None, WEIGHTS):
        measured = negative_loss(loss, weights)(SCORES, TARGETS, MASK)
        expected = -value("pointwise", weights).mean()
        torch.testing.assert_close(measured["validation_score"], expected)


def test_weights_stay_with_their_cells() -> None:
    weights = np.random.default_rng(2).uniform(0.5, 1.5, (BARS, SYMBOLS))
    block = block_of(weights)
    assert block.weights is not None
    kept = block.mask.numpy()
    expected = np.where(kept, weights[block.bars], 0).astype(np.float32)
    np.testing.assert_array_equal(block.weights.numpy(), expected)
    drawn = block.sampled(5, (1, 2))
    assert drawn.weights is not None
    chosen = drawn.mask.numpy()
    assert (chosen.sum(axis=1) == 5).all()
    np.testing.assert_array_equal(
        drawn.weights.numpy(), np.where(chosen, expected, 0).astype(np.float32)
    )
    assert block_of(None).sampled(5, (1, 2)).weights is None


def test_blocks_without_weights_have_no_table_of_them() -> None:
    loss = make_loss("pairwise")
    assert DAY_WEIGHTS not in block_tables(loss, block_of(None))
    tables = block_tables(loss, block_of(np.full((BARS, SYMBOLS), 2.0)))
    assert tables[DAY_WEIGHTS].tolist() == [2.0] * len(tables[DAY_WEIGHTS])


@pytest.mark.parametrize("loss", ["huber", "ic"])
def test_a_training_with_weights_of_one_is_the_plain_training(loss: str) -> None:
    states = []
    for weights in (None, np.ones((BARS, SYMBOLS))):
        network = network_of("mlp", dropout=0.2)
        pair = (block_of(weights), None)
        result = train(network, make_loss(loss), pair, dict, CONFIG)  # type: ignore[arg-type]
        states.append(torch.cat([w.flatten() for w in result.state.values()]))
    assert torch.equal(states[0], states[1])


@pytest.mark.parametrize(("loss", "by_name"), [("huber", True), ("ic", False)])
def test_what_weighs_nothing_is_not_learned(loss: str, *, by_name: bool) -> None:
    inputs, targets = world()
    wrong = np.zeros(targets.shape, dtype=bool)
    wrong[:, ::2] = by_name
    wrong[::2] |= not by_name
    weights = np.where(wrong, 0.0, 2.0)
    # Twice as large and of the wrong sign: unweighed it rules.
    mixed = np.where(wrong, -2 * targets, targets)
    _, unseen = blocks(inputs, targets)
    skills = []
    for given in (weights, None):
        network = network_of("mlp")
        seen = np.zeros(targets.shape, dtype=bool)
        seen[LENGTH:60] = True
        block = CrossSections.build(inputs, mixed, seen, 10, given)
        train(network, make_loss(loss), (block, None), dict, CONFIG)  # type: ignore[arg-type]
        skills.append(_correlation(network, unseen))
    assert skills[0] > 0.4
    assert skills[0] > skills[1] + 0.2


def _correlation(network: Any, block: CrossSections) -> float:
    scores, targets, mask = score(network, block)
    return float(torch.corrcoef(torch.stack([scores[mask], targets[mask]]))[0, 1])
