"""A whole training step: its number of operations, and that it waits for nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from training_world import (
    CONFIG,
    Causal,
    Waiting,
    blocks,
    network_of,
    step_of,
    world,
)

from ranking_pipeline.learning.cross_sections import CrossSections
from ranking_pipeline.learning.loop import LoopConfig
from ranking_pipeline.learning.progress import Totals
from ranking_pipeline.learning.windows import ResidentPanel

BARS_PER_BATCH = (8, 32, 64)


def wide_block() -> CrossSections:
    """Bars enough for three batches of 64, with missing names."""
    rng = np.random.default_rng(3)
    values = rng.normal(size=(25, 210, 2)).astype(np.float32)
    values[rng.random((25, 210)) < 0.02] = np.nan
    inputs = ResidentPanel.build(values, 4)
    cells = np.ones((210, 25), dtype=bool)
    return CrossSections.build(inputs, rng.normal(size=(210, 25)), cells, 15)


def watched(
    network: nn.Module,
    loss: str,
    bars_per_batch: int,
    config: LoopConfig = CONFIG,
) -> Waiting:
    """Operations of the second step, from the batch to the sums of the history."""
    block = wide_block()
    step = step_of(network, block, config, loss)
    totals = Totals(torch.device("cpu"))
    network.train()
    batches = block.batches(np.arange(128), bars_per_batch)
    totals.add(step(next(batches)))
    with Waiting() as seen:
        totals.add(step(next(batches)))
    return seen


def test_a_linear_step_takes_at_most_100_operations_at_any_batch_size() -> None:
    counts = []
    for bars_per_batch in BARS_PER_BATCH:
        seen = watched(network_of("linear"), "pairwise", bars_per_batch)
        assert seen.waits == []
        counts.append(len(seen.work))
    assert len(set(counts)) == 1
    assert counts[0] <= 100
    # The update, the clipping and the training IC are part of what was counted.
    for part in ("_fused_adamw_", "_foreach_norm", "cummax"):
        assert any(part in called for called in seen.work)


@pytest.mark.parametrize(
    ("loss", "most"),
    [
        ("pairwise_hinge", 100),
        ("pointwise", 90),
        ("huber", 90),
        ("listwise", 100),
        ("ic", 130),
    ],
)
def test_no_loss_makes_the_host_wait_or_grows_with_the_batch(
    loss: str, most: int
) -> None:
    seen = [watched(network_of("linear"), loss, size) for size in (8, 32)]
    assert seen[0].waits == seen[1].waits == []
    assert len(seen[0].work) == len(seen[1].work) <= most


@pytest.mark.parametrize("name", ["mlp", "gru"])
def test_no_network_makes_the_host_wait(name: str) -> None:
    assert watched(network_of(name, 0.1), "pairwise", 8).waits == []


@pytest.mark.parametrize(
    "options",
    [
        {"max_windows_per_pass": 40},
        {"bars_per_block": 8},
        {"precision": "bfloat16"},
        {"schedule": "cosine"},
    ],
)
def test_no_kind_of_step_makes_the_host_wait(options: dict[str, object]) -> None:
    config = replace(CONFIG, **options)
    assert watched(Causal(), "pairwise", 8, config).waits == []


def test_the_watch_sees_what_would_wait() -> None:
    with Waiting() as seen:
        values = torch.arange(4.0)
        float(values.sum())
        values[values > 1]
        values.nonzero()
    assert len(seen.waits) >= 3


def test_a_batch_is_assembled_from_few_operations_and_two_bytes_a_cell() -> None:
    block = blocks(*world())[0]
    batches = block.batches(np.arange(32), 8)
    next(batches)
    with Waiting() as seen:
        next(batches)
    assert seen.waits == []
    assert len(seen.work) <= 8
    assert block.symbols_on_device.element_size() == 2
    tensors = {n for n, v in vars(block).items() if isinstance(v, torch.Tensor)}
    assert tensors == {"targets", "mask", "symbols_on_device"}
