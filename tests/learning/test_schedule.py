"""The learning rate of every step."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from training_world import CONFIG, blocks, ic, network_of, scripted, world

from ranking_pipeline.errors import UserError
from ranking_pipeline.learning.loop import LoopConfig, train
from ranking_pipeline.learning.losses import make_loss
from ranking_pipeline.learning.schedule import Schedule, set_rate


def rates(schedule: Schedule) -> list[float]:
    return [schedule.rate(step) for step in range(schedule.n_steps)]


def test_constant_stays() -> None:
    assert rates(Schedule("constant", 0.3, 4)) == [0.3] * 4


def test_cosine_falls_to_a_tenth() -> None:
    # Half a cosine over four gaps: heights 1, (1 + sqrt(1/2)) / 2, 1/2, ..., 0.
    high = (1 + math.sqrt(0.5)) / 2
    expected = [0.1 + 0.9 * height for height in (1, high, 0.5, 1 - high, 0)]
    assert rates(Schedule("cosine", 1.0, 5)) == pytest.approx(expected)
    assert rates(Schedule("cosine", 1.0, 1)) == [1.0]


@pytest.mark.parametrize("name", ["constant", "cosine", "plateau"])
def test_warm_up_rises_linearly_and_then_the_schedule_begins(name: str) -> None:
    found = rates(Schedule(name, 1.0, 20, warmup_share=0.2))
    assert found[:5] == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0])
    assert found[-1] == pytest.approx(0.1 if name == "cosine" else 1.0)


def test_plateau_halves_after_half_the_patience() -> None:
    schedule = Schedule("plateau", 1.0, 99, patience=4)
    found = []
    for improved in (True, False, False, False, True, False, False, False, False):
        schedule.after_epoch(improved)
        found.append(schedule.rate(50))
    assert found == [1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.125]
    other = Schedule("plateau", 1.0, 99, patience=4)
    other.load_state_dict(schedule.state_dict())
    for improved in (False, False):
        schedule.after_epoch(improved)
        other.after_epoch(improved)
        assert other.rate(50) == schedule.rate(50)


def test_only_plateau_looks_at_the_epochs() -> None:
    schedule = Schedule("constant", 1.0, 99, patience=1)
    schedule.after_epoch(False)
    assert schedule.rate(3) == 1.0


def test_what_is_unknown_or_out_of_range_is_refused() -> None:
    with pytest.raises(UserError, match=r"linear.*constant, cosine, plateau"):
        Schedule("linear", 1.0, 5)
    with pytest.raises(UserError, match=r"warmup_share is 1\.0"):
        Schedule("constant", 1.0, 5, warmup_share=1.0)


def test_a_rate_that_is_a_tensor_is_set_in_place() -> None:
    parameter = torch.nn.Parameter(torch.zeros(2))
    rate = torch.tensor(1.0)
    held = torch.optim.AdamW([parameter], lr=rate, capturable=False)
    set_rate(held, 0.25)
    assert held.param_groups[0]["lr"] is rate
    assert rate == 0.25
    plain = torch.optim.AdamW([parameter], lr=1.0)
    set_rate(plain, 0.25)
    assert plain.param_groups[0]["lr"] == 0.25


def history_of(config: LoopConfig, metrics: list[float]) -> list[float]:
    network = network_of("linear")
    both = blocks(*world())
    result = train(network, make_loss("ic"), both, scripted(metrics), config)
    return [row["learning_rate"] for row in result.history]


def test_the_history_holds_the_true_rate_of_the_last_step() -> None:
    config = replace(CONFIG, schedule="cosine", learning_rate=1.0)
    n_steps = math.ceil(blocks(*world())[0].n_bars / 8)
    cosine = Schedule("cosine", 1.0, 4 * n_steps)
    expected = [cosine.rate(epoch * n_steps - 1) for epoch in range(1, 5)]
    assert history_of(config, [0.1, 0.2, 0.3, 0.4]) == expected
    assert expected[-1] == pytest.approx(0.1)
    config = replace(CONFIG, schedule="plateau", learning_rate=1.0, patience=3)
    assert history_of(config, [0.9, 0.1, 0.1, 0.95]) == [1.0, 1.0, 0.5, 0.25]


def test_the_rate_is_the_size_of_a_step() -> None:
    """The first step of Adam moves each weight by the learning rate."""
    block = blocks(*world())[0]
    config = replace(
        CONFIG, epochs=1, timestamps_per_batch=20, warmup_share=0.5, learning_rate=0.01
    )
    network = network_of("linear")
    weight = network.body.head.weight
    before = weight.detach().clone()
    moved: list[float] = []
    train(
        network,
        make_loss("ic"),
        (block, None),
        ic,
        config,
        on_step=lambda windows: moved.append(
            float((weight.detach() - before).abs().max())
        ),
    )
    # Three steps, two of them (rounded up) to warm up: the first one at half the rate.
    assert moved[0] == pytest.approx(0.005, rel=1e-3)
    assert np.isfinite(moved).all()
