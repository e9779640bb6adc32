"""The stage of the GPU benchmark: sizes, clocks, data, steps with and without graph."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from benchmarks.harness import Row, row
from benchmarks.loop_panel import LoopPanel, simulate_panel
from ranking_pipeline.learning.channels import build_channels
from ranking_pipeline.learning.cross_sections import Batch, CrossSections
from ranking_pipeline.learning.graph import (
    CudaRecorder,
    GraphStep,
    Recorder,
    flatten_recurrent,
    make_capturable,
)
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

Task = Callable[[], object]
PER_BAR, ANCHORED = "log_returns", "log_anchored"
MILLI, MICRO, NANO = 1e3, 1e6, 1e9


@dataclass(frozen=True)
class Sizes:
    """How large everything is."""

    symbols: int = 500
    bars: int = 1000
    length: int = 64
    batch: int = 32
    hidden: int = 64
    steps: int = 12
    wide: int = 5000
    wider: int = 20000
    wide_batch: int = 8
    copied_mb: int = 2048
    streamed_bars: int = 8000
    calls: int = 300
    checked_steps: int = 100


TOY = Sizes(16, 40, 4, 4, 8, 2, 30, 60, 2, 1, 160, 3, 3)


class EagerRecorder:
    """Stands in for a graph where there is no GPU: it runs the function again."""

    def side_stream(self) -> AbstractContextManager[None]:
        """Nothing to switch to."""
        return nullcontext()

    def record(
        self, function: Callable[[], object], generators: list[torch.Generator]
    ) -> Callable[[], None]:
        """Give the function itself."""
        del generators

        def replay() -> None:
            function()

        return replay

    def forget(self) -> None:
        """Nothing is kept."""


@dataclass(frozen=True)
class Stage:
    """Where the rows are measured.

    Attributes
    ----------
    device : torch.device
    sizes : Sizes
    rounds : int
        Figures of each side of a row.
    """

    device: torch.device
    sizes: Sizes
    rounds: int

    @property
    def on_gpu(self) -> bool:
        """Whether this is a measurement; on a CPU it is a rehearsal."""
        return self.device.type == "cuda"

    def recorder(self) -> Recorder:
        """Make what records graphs here."""
        return CudaRecorder(self.device) if self.on_gpu else EagerRecorder()

    def wait(self) -> None:
        """Let the device finish."""
        if self.on_gpu:
            torch.cuda.synchronize(self.device)

    def seconds(self, task: Task) -> float:
        """Seconds of the device from the first kernel of a task to its last."""
        if not self.on_gpu:
            started = time.perf_counter()
            task()
            return time.perf_counter() - started
        first = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        last = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        self.wait()
        first.record()
        task()
        last.record()
        self.wait()
        return float(first.elapsed_time(last)) / MILLI

    def take_turns(self, *tasks: Task) -> list[list[float]]:
        """Seconds of each task in each round, the tasks in turn, after two warm-ups."""
        for task in tasks:
            task()
            task()
        figures: list[list[float]] = [[] for _ in tasks]
        for turn in range(self.rounds):
            for place in range(len(tasks)):
                which = (turn + place) % len(tasks)
                figures[which].append(self.seconds(tasks[which]))
        return figures

    @cached_property
    def panel(self) -> LoopPanel:
        """The simulated panel of the loop's benchmarks."""
        sizes = self.sizes
        return simulate_panel(sizes.symbols, sizes.bars, sizes.length)

    @cached_property
    def block(self) -> CrossSections:
        """Cells of the panel with channels that need nothing after the gather."""
        return self.cells(self.panel, PER_BAR)

    def cells(self, panel: LoopPanel, normalization: str) -> CrossSections:
        """Prepare a panel for training."""
        inputs = ResidentPanel.build(
            build_channels(panel.ohlcv, normalization),
            self.sizes.length,
            self.device,
            window_transform(normalization),
        )
        everything = np.ones(inputs.valid.shape, dtype=np.bool_)
        return CrossSections.build(inputs, panel.targets, everything)

    def drawn(self, block: CrossSections, bars_per_batch: int, steps: int) -> Drawn:
        """Draw bars for some full steps."""
        order = np.random.default_rng(1).permutation(block.n_bars)
        rows = np.resize(order, bars_per_batch * steps).astype(np.int64)
        return Drawn(self, block, rows, bars_per_batch)


@dataclass(frozen=True)
class Drawn:
    """Bars of a block in a fixed order, cut into steps."""

    stage: Stage
    block: CrossSections
    rows: np.ndarray[tuple[int], np.dtype[np.int64]]
    bars_per_batch: int

    @property
    def n_windows(self) -> int:
        """Windows of one pass."""
        return int(np.diff(self.block.offsets)[self.rows].sum())

    def network(self, spec: NetworkSpec) -> Scorer:
        """Weights from a fixed seed."""
        shape = self.block.inputs.sample_shape
        network = make_network(spec, shape, seed=0).to(self.stage.device).train()
        flatten_recurrent(network)
        return network

    def step(
        self,
        network: Scorer,
        *,
        graph: bool = False,
        loss: str = "pairwise",
        config: LoopConfig | None = None,
    ) -> Step:
        """Make a step with weights of its own."""
        config = LoopConfig() if config is None else config
        own, made = copy.deepcopy(network), make_loss(loss)
        flatten_recurrent(own)
        tables, optimizer = block_tables(made, self.block), make_optimizer(own, config)
        if not graph:
            return make_step(own, made, tables, optimizer, config, self.block.inputs)
        recorder = self.stage.recorder()
        return GraphStep(own, made, tables, optimizer, config, recorder=recorder)

    def whole_pass(self, step: Step) -> Task:
        """Cut the batches and take all steps."""

        def task() -> None:
            for batch in self.block.batches(self.rows, self.bars_per_batch):
                step(batch)

        return task

    def bare_pass(self, network: Scorer, *, graph: bool = False) -> tuple[Task, float]:
        """Forward, backward and optimizer alone on windows that lie ready.

        One batch again and again, as many times as there are steps: a graph has fixed
        addresses.

        Returns
        -------
        task : callable
        scale : float
            Windows of a whole pass over those of the task: batches differ by percents.
        """
        own = copy.deepcopy(network)
        flatten_recurrent(own)
        optimizer = make_optimizer(own, LoopConfig())
        if graph and self.stage.on_gpu:
            make_capturable(optimizer)
        batch = self._middle_batch()
        windows = batch.windows()

        def once() -> None:
            optimizer.zero_grad(set_to_none=True)
            total: Tensor = own(windows, batch.layout).mean()
            total.backward()  # type: ignore[no-untyped-call]
            optimizer.step()

        run = self._recorded(once) if graph else once
        steps = len(self.rows) // self.bars_per_batch
        scale = self.n_windows / (batch.n_cells * steps)

        def task() -> None:
            for _ in range(steps):
                run()

        return task, scale

    def _middle_batch(self) -> Batch:
        batches = list(self.block.batches(self.rows, self.bars_per_batch))
        return sorted(batches, key=lambda batch: batch.n_cells)[len(batches) // 2]

    def _recorded(self, function: Callable[[], None]) -> Callable[[], None]:
        recorder = self.stage.recorder()
        with recorder.side_stream():
            for _ in range(3):
                function()
        return recorder.record(function, [])


def goal_row(
    case: str,
    unit: str,
    ours: list[float],
    goal: str,
    met: bool | None,
    peer: list[float] | None = None,
) -> Row:
    """Make a row that also says what was hoped for, and whether it came true."""
    return row(case, unit, ours, peer or ()) | {"goal": goal, "met": met}


def overhead(whole: list[float], bare: list[float], scale: float) -> list[float]:
    """Percent that each round of a pass takes beyond its bare network."""
    return [100 * (a / (b * scale) - 1) for a, b in zip(whole, bare, strict=True)]


def median_of(values: list[float]) -> float:
    """Give the median."""
    return statistics.median(values)


def smaller(stage: Stage, **sizes: int) -> Stage:
    """Give the same stage with other sizes."""
    return replace(stage, sizes=replace(stage.sizes, **sizes))
