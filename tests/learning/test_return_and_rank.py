"""Squared error plus pairs, as the stock transformer learns: a ranking term that is one.

Its pairs are told by the targets alone: scores never decide who should win.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ranking_pipeline.learning.losses import make_loss

CONF = Path(__file__).parents[2] / "conf/base/parameters_model_training.yml"


@cache
def shipped() -> dict[str, Any]:
    text = CONF.read_text("utf-8").replace("${", "$ {")
    block = yaml.safe_load(text)["model_training"]["parameters"]["stock_transformer"]
    assert block["regression_loss"] == "mixture"
    found: dict[str, Any] = block["loss_parameters"]
    return found


def value_and_slope(
    scores: Any, targets: Any, **parameters: Any
) -> tuple[float, Tensor]:
    """Loss of one bar, and its gradient with respect to the scores."""
    shown = torch.tensor(np.array([scores]), dtype=torch.float64, requires_grad=True)
    goal = torch.tensor(np.array([targets]), dtype=torch.float64)
    parameters = parameters or shipped()
    loss = make_loss("mixture", **parameters)(shown, goal, torch.ones_like(goal).bool())
    loss.backward()
    assert shown.grad is not None
    return float(loss.detach()), shown.grad[0]


def only_pairs() -> dict[str, Any]:
    parameters = shipped()
    rank = {k: v for k, v in parameters["terms"].items() if k != "mse"}
    return parameters | {"terms": rank}


def plain(scores: np.ndarray, targets: np.ndarray) -> float:
    """Both terms by loops, each in units of its value where all scores are 0."""
    pairs = [
        np.log1p(np.exp(scores[loser] - scores[winner]))
        for winner in range(len(targets))
        for loser in range(len(targets))
        if targets[winner] > targets[loser]
    ]
    error = ((scores - targets) ** 2).mean() / (targets**2).mean()
    return float(error + 5 * np.mean(pairs) / np.log(2))


def draw(seed: int, n: int = 7) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng([seed, 8])
    return rng.normal(size=n), np.round(rng.normal(size=n), 1)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_the_loss_against_plain_loops(seed: int) -> None:
    scores, targets = draw(seed)
    assert value_and_slope(scores, targets)[0] == pytest.approx(plain(scores, targets))


def test_two_names_by_hand() -> None:
    """Equal scores, one target above: each is pulled by half of 5 / log 2."""
    value, slope = value_and_slope([0.0, 0.0], [1.0, -1.0], **only_pairs())
    assert value == pytest.approx(5)
    pull = 5 / np.log(2) / 2
    np.testing.assert_allclose(slope, [-pull, pull])


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), shift=st.floats(-3, 3))
def test_pairs_are_antisymmetric(seed: int, shift: float) -> None:
    scores, targets = draw(seed)
    value, slope = value_and_slope(scores, targets, **only_pairs())
    # What one name of a pair gains the other loses.
    assert float(slope.sum()) == pytest.approx(0, abs=1e-12)
    mirrored, back = value_and_slope(-scores, -targets, **only_pairs())
    assert mirrored == pytest.approx(value)
    np.testing.assert_allclose(back, -slope, atol=1e-12)
    moved, same = value_and_slope(scores + shift, targets, **only_pairs())
    assert moved == pytest.approx(value)
    np.testing.assert_allclose(same, slope, atol=1e-9)


def test_swapping_two_targets_swaps_who_is_pulled_where() -> None:
    _, slope = value_and_slope([0.3, 0.3], [0.2, 0.1], **only_pairs())
    _, other = value_and_slope([0.3, 0.3], [0.1, 0.2], **only_pairs())
    np.testing.assert_allclose(other, -slope)
    assert slope[0] < 0 < slope[1]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_names_in_another_order_get_the_same_slopes(seed: int) -> None:
    scores, targets = draw(seed)
    order = np.random.default_rng(seed).permutation(len(scores))
    value, slope = value_and_slope(scores, targets)
    again, moved = value_and_slope(scores[order], targets[order])
    assert again == pytest.approx(value)
    np.testing.assert_allclose(moved, slope[order], atol=1e-12)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_slopes_are_those_of_finite_differences(seed: int) -> None:
    scores, targets = draw(seed)
    _, slope = value_and_slope(scores, targets)
    step = 1e-5
    for place in range(len(scores)):
        nudge = np.eye(len(scores))[place] * step
        rise = plain(scores + nudge, targets) - plain(scores - nudge, targets)
        assert float(slope[place]) == pytest.approx(rise / (2 * step), abs=1e-6)


def test_scores_in_the_right_order_cost_less_than_in_the_wrong_one() -> None:
    targets = np.array([0.3, 0.1, -0.2, -0.4])
    right, _ = value_and_slope(targets, targets, **only_pairs())
    wrong, _ = value_and_slope(-targets, targets, **only_pairs())
    equal, _ = value_and_slope(0 * targets, targets, **only_pairs())
    assert right < equal < wrong
