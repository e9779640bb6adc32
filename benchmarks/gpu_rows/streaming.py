"""G8: training on a panel that is streamed, beside one that stays on the device."""

from __future__ import annotations

import numpy as np
import torch

from benchmarks.gpu_rows.stage import NANO, PER_BAR, Stage, goal_row, median_of
from benchmarks.gpu_rows.training import networks
from benchmarks.harness import Row
from benchmarks.loop_panel import simulate_panel
from ranking_pipeline.learning.channels import build_channels
from ranking_pipeline.learning.cross_sections import CrossSections
from ranking_pipeline.learning.loop import LoopConfig, negative_loss, train
from ranking_pipeline.learning.losses import make_loss
from ranking_pipeline.learning.networks import make_network
from ranking_pipeline.learning.streaming import make_inputs


def streamed(stage: Stage) -> list[Row]:
    """Whole epochs of an LSTM; the budget is a quarter of the panel."""
    sizes = stage.sizes
    panel = simulate_panel(sizes.symbols, sizes.streamed_bars, sizes.length)
    channels = build_channels(panel.ohlcv, PER_BAR)
    sides = []
    for budget in (channels.nbytes // 4, None):
        inputs = make_inputs(
            channels, sizes.length, stage.device, PER_BAR, budget_bytes=budget
        )
        everything = np.ones(inputs.valid.shape, dtype=np.bool_)
        block = CrossSections.build(inputs, panel.targets, everything)
        sides.append(_epochs(stage, block))
        spans = len(inputs.spans)
        if budget is not None and spans < 2:
            raise RuntimeError(f"the panel was not streamed: {spans} span")
        del inputs, block
    ratio = median_of([b / a for a, b in zip(*sides, strict=True)])
    case = "G8 streamed beside resident"
    return [
        goal_row(case, "ns/window", sides[0], "ratio >= 0.95", ratio >= 0.95, sides[1])
    ]


def _epochs(stage: Stage, block: CrossSections) -> list[float]:
    """Nanoseconds per window of each epoch but the first, by the loop's own clock."""
    network = make_network(networks(stage)["lstm"], block.inputs.sample_shape, seed=0)
    rates: list[float] = []
    loss = make_loss("pairwise")
    train(
        network,
        loss,
        (block, None),
        negative_loss(loss),
        LoopConfig(
            epochs=1 + min(3, stage.rounds), timestamps_per_batch=stage.sizes.batch
        ),
        on_epoch=lambda row: rates.append(row["windows_per_second"]),
    )
    if stage.on_gpu:
        torch.cuda.empty_cache()
    return [NANO / rate for rate in rates[1:]]
