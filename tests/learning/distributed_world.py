"""Work for two processes: importable by name, driven by arrays and plain values."""

from __future__ import annotations

import logging
import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ranking_pipeline.errors import UserError
from ranking_pipeline.learning.checkpoints import CheckpointFile
from ranking_pipeline.learning.cross_sections import CrossSections
from ranking_pipeline.learning.device import Group
from ranking_pipeline.learning.distributed import Share
from ranking_pipeline.learning.loop import LoopConfig, negative_loss, train
from ranking_pipeline.learning.losses import make_loss
from ranking_pipeline.learning.networks import NetworkSpec, make_network
from ranking_pipeline.learning.steps import block_tables, make_step
from ranking_pipeline.learning.windows import ResidentPanel

SYMBOLS, BARS, LENGTH, CHANNELS = 16, 72, 4, 2
FIRST_VALIDATION_BAR = 49
Result = tuple[dict[str, np.ndarray], dict[str, Any]]


def make_arrays() -> dict[str, np.ndarray]:
    """Bars of 6 to 16 names; every third has one target for all: it counts for none."""
    rng = np.random.default_rng(7)
    values = rng.normal(size=(SYMBOLS, BARS, CHANNELS)).astype(np.float32)
    for symbol in range(10):
        values[symbol, : rng.integers(BARS)] = np.nan
    targets = rng.normal(size=(BARS, SYMBOLS))
    targets[::3] = 0.25
    return {"values": values, "targets": targets}


def make_blocks(
    arrays: dict[str, np.ndarray], dtype: torch.dtype
) -> tuple[CrossSections, CrossSections]:
    panel = ResidentPanel.build(arrays["values"], LENGTH)
    wide = replace(panel, values=panel.values.to(dtype))
    late = np.arange(BARS)[:, None] >= FIRST_VALIDATION_BAR
    blocks = [
        CrossSections.build(wide, arrays["targets"], panel.valid & part, 6)
        for part in (~late, late)
    ]
    made = [replace(block, targets=block.targets.to(dtype)) for block in blocks]
    return made[0], made[1]


def step_losses(
    arrays: dict[str, np.ndarray], options: dict[str, Any], group: Group
) -> list[list[float]]:
    """Four sums of each step, over all processes, in double precision."""
    block, _ = make_blocks(arrays, torch.float64)
    config = LoopConfig(learning_rate=3e-3)
    network = make_network(NetworkSpec("mlp", 8), (LENGTH, CHANNELS), seed=1).double()
    loss = make_loss(options["loss"])
    optimizer = torch.optim.AdamW(network.parameters(), config.learning_rate)
    tables = block_tables(loss, block)
    step = make_step(network, loss, tables, optimizer, config, block.inputs, group)
    sums = []
    for epoch in range(2):
        order = np.random.default_rng(epoch).permutation(block.n_bars)
        for batch in block.batches(order[:42], 5, group.rank, group.size):
            result = torch.stack([value.double() for value in step(batch)])
            sums.append(group.all_reduce_(result).tolist())
    return sums


def steps(share: Share) -> Result:
    """Do the steps of all the losses; say hello; show that arrays are private."""
    logging.getLogger("ranking_pipeline.world").warning("rank %d", share.group.rank)
    share.report({"rank": share.group.rank})
    sums = {
        name: step_losses(share.arrays, {"loss": name}, share.group)
        for name in share.options["losses"]
    }
    share.arrays["values"][:] = 0.0
    return {"empty": np.zeros((0, 3))}, {
        "sums": sums,
        "threads": torch.get_num_threads(),
        "empty": share.arrays["empty"].shape,
    }


def fit_with(
    arrays: dict[str, np.ndarray], options: dict[str, Any], group: Group
) -> Result:
    """Train as users do; the weights, and the history."""
    spec = NetworkSpec("mlp", 8, dropout=options.get("dropout", 0.0))
    network = make_network(spec, (LENGTH, CHANNELS), seed=1)
    # Its gradient leaves no parameter to the noise of rounding, as a ranking loss does
    # with the bias of the head.
    loss = make_loss("pointwise")
    config = LoopConfig(epochs=3, timestamps_per_batch=5, learning_rate=3e-3)
    file = options.get("checkpoint")
    pause = options.get("pause", 0.0)
    result = train(
        network,
        loss,
        make_blocks(arrays, torch.float32),
        negative_loss(make_loss("pointwise")),
        config,
        on_step=lambda windows: time.sleep(pause),
        checkpoint=file and CheckpointFile(Path(file), "key", 0.0),
        group=group,
    )
    weights = {name: value.numpy() for name, value in result.state.items()}
    return weights, {"history": result.history}


def fit(share: Share) -> Result:
    if "processes" in share.options:
        me = Path(share.options["processes"], str(share.group.rank))
        me.write_text(str(os.getpid()))
    return fit_with(share.arrays, share.options, share.group)


def fail(share: Share) -> Result:
    """Fail in rank 1 as the options say, while rank 0 waits for it."""
    if share.group.rank == 1:
        kind = share.options["kind"]
        if kind == "user":
            raise UserError("loss.margin is -1; use 0 or more.")
        if kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise ValueError("a bug of ours")
    share.group.all_reduce_(torch.zeros(1))
    return {}, {}
