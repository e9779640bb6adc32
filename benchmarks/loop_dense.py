"""A convolutional network over whole series, beside the same windows one by one."""

from __future__ import annotations

import numpy as np
import torch

from benchmarks.harness import Row, row
from benchmarks.loop_panel import LoopPanel
from benchmarks.loop_sides import MICRO, PER_BAR, Sides, alternate
from ranking_pipeline.learning.loop import LoopConfig, score
from ranking_pipeline.learning.losses import make_loss
from ranking_pipeline.learning.networks import NetworkSpec
from ranking_pipeline.learning.steps import (
    Step,
    block_tables,
    make_optimizer,
    make_step,
)

TCN = NetworkSpec("tcn", hidden=32)
BATCH, FEW = 32, 8


def dense_rows(panel: LoopPanel, length: int, rounds: int) -> list[Row]:
    """Convolutions over whole series, beside windows one by one.

    The peer of the plain rows computes every bar of every layer of a window; the peer
    of the pruned rows is our own windowed path, which leaves out what no later layer
    reads.
    """
    sides = Sides.of(panel, length, PER_BAR, FEW)
    network = sides.network(TCN).eval()
    batches = list(sides.batches(FEW))
    windows = [batch.windows() for batch in batches]

    def dense() -> None:
        score(network, sides.block)

    @torch.no_grad()
    def plain() -> None:
        for each in windows:
            network.score_series(each)

    @torch.no_grad()
    def pruned() -> None:
        for each, batch in zip(windows, batches, strict=True):
            network(each, batch.layout)

    seconds = alternate(rounds, dense, plain, pruned)
    scale = (sides.block.n_cells, sides.n_windows, sides.n_windows)
    whole, one, skipping = (
        [MICRO * s / n for s in part] for part, n in zip(seconds, scale, strict=True)
    )
    return [
        row("tcn dense", "us/window", whole, one),
        row("tcn dense, pruned windows", "us/window", whole, skipping),
        *_dense_training(sides, rounds),
    ]


def _dense_training(sides: Sides, rounds: int) -> list[Row]:
    """A step on a block of 32 consecutive bars."""
    block = sides.block
    first = block.n_bars // 2
    order = np.arange(first, first + BATCH)
    (batch,) = block.batches(order, BATCH)
    (part,) = block.batches(order[:FEW], FEW)
    windows = part.windows()
    dense, pruned = (_step(sides, blocks) for blocks in (BATCH, None))
    every = sides.network(TCN).train()
    adam = make_optimizer(every, LoopConfig())

    def plain() -> None:
        adam.zero_grad(set_to_none=True)
        every.score_series(windows).mean().backward()  # type: ignore[no-untyped-call]
        adam.step()

    seconds = alternate(rounds, lambda: dense(batch), plain, lambda: pruned(part))
    scale = (len(batch.symbols), len(part.symbols), len(part.symbols))
    whole, one, skipping = (
        [MICRO * s / n for s in part] for part, n in zip(seconds, scale, strict=True)
    )
    return [
        row("tcn dense training", "us/window", whole, one),
        row("tcn dense training, pruned windows", "us/window", whole, skipping),
    ]


def _step(sides: Sides, bars_per_block: int | None) -> Step:
    network, block = sides.network(TCN).train(), sides.block
    loss, config = make_loss("pairwise"), LoopConfig(bars_per_block=bars_per_block)
    return make_step(
        network,
        loss,
        block_tables(loss, block),
        make_optimizer(network, config),
        config,
        block.inputs,
    )
