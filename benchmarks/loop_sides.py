"""Both sides of a training step on the same bars: ours, the plain loop, the network."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from benchmarks.loop_panel import LoopPanel
from benchmarks.naive_loop import (
    NaiveDataset,
    PaddedBatch,
    naive_loader,
    naive_step,
)
from benchmarks.naive_losses import sampled_pairs_loss
from ranking_pipeline.learning.channels import build_channels
from ranking_pipeline.learning.cross_sections import Batch, CrossSections
from ranking_pipeline.learning.loop import LoopConfig
from ranking_pipeline.learning.losses import make_loss
from ranking_pipeline.learning.networks import NetworkSpec, Scorer, make_network
from ranking_pipeline.learning.steps import (
    Step,
    block_tables,
    make_optimizer,
    make_step,
)
from ranking_pipeline.learning.windows import ResidentPanel, window_transform

ANCHORED, PER_BAR = "log_anchored", "log_returns"
Task = Callable[[], object]
MICRO = 1e6


@dataclass(frozen=True)
class Bars:
    """Some bars of a block that are trained on.

    Attributes
    ----------
    block : CrossSections
    rows : ndarray of int64
        Positions of the bars in the block.
    """

    block: CrossSections
    rows: npt.NDArray[np.int64]

    @property
    def n_windows(self) -> int:
        """Windows of the bars."""
        return int(np.diff(self.block.offsets)[self.rows].sum())

    def network(self, spec: NetworkSpec) -> Scorer:
        """Weights from a fixed seed."""
        return make_network(spec, self.block.inputs.sample_shape, seed=0)

    def batches(self, bars_per_batch: int) -> Iterator[Batch]:
        """Cut the bars."""
        return self.block.batches(self.rows, bars_per_batch)

    def our_step(self, network: Scorer, loss: str = "pairwise") -> Step:
        """Every pair, AdamW in one kernel, clipping, the running rank IC."""
        made, network = make_loss(loss), copy.deepcopy(network).train()
        tables = block_tables(made, self.block)
        optimizer, inputs = _adamw(network), self.block.inputs
        return make_step(network, made, tables, optimizer, LoopConfig(), inputs)

    def our_pass(
        self, network: Scorer, bars_per_batch: int, loss: str = "pairwise"
    ) -> Task:
        """Make one pass over the bars."""
        step = self.our_step(network, loss)

        def task() -> None:
            for batch in self.batches(bars_per_batch):
                step(batch)

        return task

    def bare_pass(self, network: Scorer, bars_per_batch: int) -> Task:
        """Forward, backward and the optimizer alone; the windows lie ready."""
        made = copy.deepcopy(network).train()
        optimizer = _adamw(made)
        ready = [
            (batch.windows(), batch.layout) for batch in self.batches(bars_per_batch)
        ]

        def task() -> None:
            for windows, layout in ready:
                optimizer.zero_grad(set_to_none=True)
                total: Tensor = made(windows, layout).mean()
                total.backward()  # type: ignore[no-untyped-call]
                optimizer.step()

        return task


@dataclass(frozen=True)
class Sides(Bars):
    """The same bars, in the same order, window by window for the plain loop.

    Attributes
    ----------
    dataset : NaiveDataset
    """

    dataset: NaiveDataset

    @classmethod
    def of(
        cls, panel: LoopPanel, length: int, normalization: str, n_bars: int
    ) -> Sides:
        """Prepare a panel for ours, and ``n_bars`` random bars of it for both."""
        block = our_cells(panel, length, normalization)
        rng = np.random.default_rng(1)
        rows = rng.permutation(block.n_bars)[:n_bars].astype(np.int64)
        dataset = NaiveDataset(
            panel.ohlcv,
            panel.targets,
            length,
            normalization,
            bars=block.bars[rows].tolist(),
        )
        return cls(block, rows, dataset)

    def naive_step(self, network: Scorer) -> Callable[[PaddedBatch], float]:
        """100 drawn pairs, plain Adam, clipping."""
        body = copy.deepcopy(network.body).train()
        optimizer = torch.optim.Adam(body.parameters(), lr=1e-3)
        loss = sampled_pairs_loss()
        return lambda batch: naive_step(body, batch, optimizer, loss)

    def naive_pass(self, network: Scorer, bars_per_batch: int) -> Task:
        """Make one pass over the same bars."""
        step, loader = self.naive_step(network), self.loader(bars_per_batch)

        def task() -> None:
            for batch in loader:
                step(batch)

        return task

    def loader(self, bars_per_batch: int) -> Iterable[PaddedBatch]:
        """Pad the bars into batches, in order."""
        return naive_loader(self.dataset, bars_per_batch, shuffle=False)

    def filled_share(self, bars_per_batch: int) -> float:
        """Share of the slots of the padded batches that hold a name."""
        masks = [batch.mask for batch in self.loader(bars_per_batch)]
        slots = sum(mask.numel() for mask in masks)
        return sum(float(mask.sum()) for mask in masks) / slots


def our_cells(panel: LoopPanel, length: int, normalization: str) -> CrossSections:
    """Prepare a panel for training: channels, resident inputs, cells."""
    inputs = ResidentPanel.build(
        build_channels(panel.ohlcv, normalization),
        length,
        transform=window_transform(normalization),
    )
    everything = np.ones(inputs.valid.shape, dtype=np.bool_)
    return CrossSections.build(inputs, panel.targets, everything)


def _adamw(network: torch.nn.Module) -> torch.optim.Optimizer:
    return make_optimizer(network, LoopConfig())


def timed(task: Task) -> Callable[[], float]:
    """Make a task tell its processor seconds."""

    def measured() -> float:
        started = time.process_time()
        task()
        return time.process_time() - started

    return measured


def take_turns(rounds: int, *tasks: Callable[[], float]) -> list[list[float]]:
    """Figures of each task in each round, after one that does not count.

    The tasks take turns, and each round begins with another one.
    """
    for task in tasks:
        task()
    figures: list[list[float]] = [[] for _ in tasks]
    for turn in range(rounds):
        for place in range(len(tasks)):
            which = (turn + place) % len(tasks)
            figures[which].append(tasks[which]())
    return figures


def alternate(rounds: int, *tasks: Task) -> list[list[float]]:
    """Processor seconds of each task in each round, see :func:`take_turns`."""
    return take_turns(rounds, *map(timed, tasks))
