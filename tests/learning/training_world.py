"""A small panel with a planted signal, and what the tests of the loop share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from ranking_pipeline.learning.checkpoints import CheckpointFile
from ranking_pipeline.learning.cross_sections import Batch, CrossSections
from ranking_pipeline.learning.layout import Layout
from ranking_pipeline.learning.loop import LoopConfig, Measure, TrainingResult, train
from ranking_pipeline.learning.losses import make_loss
from ranking_pipeline.learning.networks import NetworkSpec, make_network
from ranking_pipeline.learning.steps import (
    Step,
    block_tables,
    make_optimizer,
    make_step,
)
from ranking_pipeline.learning.windows import Inputs, ResidentPanel
from ranking_pipeline.ranking.metrics import rank_ic

CONFIG = LoopConfig(epochs=4, timestamps_per_batch=8, learning_rate=1e-2, patience=9)
SYMBOLS, BARS, LENGTH, CHANNELS = 15, 80, 4, 2
FloatArray = npt.NDArray[np.floating]


def world(seed: int = 0) -> tuple[ResidentPanel, FloatArray]:
    """Channels, and targets (T, S) that are linear in the window plus noise."""
    rng = np.random.default_rng([seed, 5])
    values = rng.normal(size=(SYMBOLS, BARS, CHANNELS)).astype(np.float32)
    values[2, 30:33] = np.nan
    values[5, :20] = np.nan
    planted = np.full((BARS, SYMBOLS), np.nan)
    planted[1:] = (values[:, 1:, 0] - 0.5 * values[:, :-1, 1]).T
    noise = rng.normal(size=planted.shape)
    return ResidentPanel.build(values, LENGTH), planted + 0.7 * noise


def blocks(
    inputs: Inputs, targets: FloatArray, min_symbols: int = 10
) -> tuple[CrossSections, CrossSections]:
    """Sixty bars to train on, the rest to validate."""
    bar = np.arange(BARS)[:, None] + np.zeros((1, SYMBOLS))
    return (
        CrossSections.build(inputs, targets, bar < 60, min_symbols),
        CrossSections.build(inputs, targets, bar >= 60, min_symbols),
    )


def ic(scores: Tensor, targets: Tensor, mask: Tensor) -> Mapping[str, Tensor]:
    return {"validation_ic": rank_ic(scores, targets, mask).nanmean()}


def scripted(metrics: list[float]) -> Measure:
    """A measure that gives prepared values, one an epoch."""
    values = iter(metrics)

    def measure(scores: Tensor, targets: Tensor, mask: Tensor) -> Mapping[str, Tensor]:
        return {"metric": torch.tensor(next(values))}

    return measure


def network_of(name: str, dropout: float = 0.0, outputs: int = 1) -> nn.Module:
    spec = NetworkSpec(name, 8, 1, dropout)
    return make_network(spec, (LENGTH, CHANNELS), outputs, seed=1)


def step_of(
    network: nn.Module,
    block: CrossSections,
    config: LoopConfig = CONFIG,
    loss: str = "pairwise",
    **options: Any,
) -> Step:
    """A step on a block, ready to be called."""
    made = make_loss(loss)
    optimizer = make_optimizer(network, config)
    tables = block_tables(made, block)
    return make_step(network, made, tables, optimizer, config, block.inputs, **options)


def gradients(step: Step, batch: Batch) -> dict[str, Tensor]:
    """Gradients that a step leaves, before clipping."""
    step.network.zero_grad()
    step.network.train()
    step.backward(batch)
    return {
        name: parameter.grad.clone()
        for name, parameter in step.network.named_parameters()
        if parameter.grad is not None
    }


class Causal(nn.Module):
    """A causal convolution of the window's length: it scores windows or series."""

    has_series = True
    crosses = False

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(CHANNELS, 6, LENGTH - 1)
        self.last = nn.Conv1d(6, 1, 2)

    def score_series(self, series: Tensor) -> Tensor:
        hidden = torch.tanh(self.first(series.transpose(1, 2)))
        scores: Tensor = self.last(hidden).squeeze(1)  # (S, T - L + 1)
        return scores

    def forward(self, windows: Tensor, layout: Layout) -> Tensor:
        return self.score_series(windows).squeeze(1)


class Waiting(TorchDispatchMode):
    """Counts operations, and what would make the host wait for a device."""

    views = ("view", "expand", "slice", "squeeze", "aten.t.", "detach", "as_strided")
    views += ("unbind", "select.int", "alias", "split", "transpose", "profiler.")
    reads = ("_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "equal")

    def __init__(self) -> None:
        super().__init__()
        self.work: list[str] = []
        self.waits: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        called = str(func)
        if not any(view in called for view in self.views):
            self.work.append(called)
        by_mask = "aten.index.Tensor" in called and any(
            part is not None and part.dtype == torch.bool for part in args[1]
        )
        if by_mask or any(read in called for read in self.reads):
            self.waits.append(called)
        return func(*args, **(kwargs or {}))


def checkpointed_training(
    schedule: str,
    checkpoint: CheckpointFile | None,
    on_step: Callable[[int], None] | None = None,
    **changes: Any,
) -> TrainingResult:
    """Train with all that has a state: dropout, drawn pairs and symbols, a schedule."""
    inputs, targets = world()
    config = replace(
        CONFIG,
        epochs=6,
        patience=4,
        schedule=schedule,
        min_delta=0.2,
        warmup_share=0.1,
        symbols_per_timestamp=13,
        **changes,
    )
    loss = make_loss("pairwise", top_pct=0.4, bottom_pct=0.4, max_pairs=6, seed=3)
    return train(
        network_of("mlp", dropout=0.3),
        loss,
        blocks(inputs, targets),
        ic,
        config,
        checkpoint=checkpoint,
        on_step=on_step,
    )
