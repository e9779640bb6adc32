"""G4 and G5: the gather beside a copy, and the exact pairwise loss beside a step."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from benchmarks.gpu_rows.stage import (
    ANCHORED,
    MICRO,
    MILLI,
    PER_BAR,
    Stage,
    Task,
    goal_row,
    median_of,
    smaller,
)
from benchmarks.gpu_rows.training import networks, step_micros
from benchmarks.harness import Row
from ranking_pipeline.learning.cross_sections import Batch
from ranking_pipeline.learning.losses import make_loss


def gathers(stage: Stage) -> list[Row]:
    """G4: windows read once and written once, beside a copy of as many bytes."""
    rows = []
    source = torch.zeros(stage.sizes.copied_mb << 18, device=stage.device)
    target = torch.empty_like(source)
    for normalization in (PER_BAR, ANCHORED):
        block = stage.cells(stage.panel, normalization)
        drawn = stage.drawn(block, stage.sizes.batch, stage.sizes.steps)
        batches = list(block.batches(drawn.rows, drawn.bars_per_batch))

        def gather(batches: list[Batch] = batches) -> None:
            for batch in batches:
                batch.windows()

        def copy() -> None:
            target.copy_(source)

        gathering, copying = stage.take_turns(gather, copy)
        length, channels = block.inputs.sample_shape
        moved = drawn.n_windows * length * channels
        scaled = [value * moved / source.numel() for value in copying]
        shares = [100 * b / a for a, b in zip(gathering, scaled, strict=True)]
        met = median_of(shares) >= 50
        case = f"G4 gather {normalization} of the copy bandwidth"
        rows.append(goal_row(case, "%", shares, ">= 50", met))
    return rows


def exact_pairs(stage: Stage) -> list[Row]:
    """G5: all pairs at many names, in percent of an LSTM step and in memory."""
    sizes = stage.sizes
    # Some bars of history come before the first volatility.
    wide = smaller(stage, symbols=sizes.wide, bars=sizes.wide_batch * 3 + 60)
    drawn = wide.drawn(wide.block, sizes.wide_batch, 2)
    step = step_micros(stage, drawn, networks(stage)["lstm"])
    task = _loss_task(stage, sizes.wide_batch, sizes.wide)
    (seconds,) = stage.take_turns(task)
    percent = [100 * s * MICRO / t for s, t in zip(seconds, step, strict=True)]
    case = f"G5 all pairs M={sizes.wide} of an lstm step"
    rows = [goal_row(case, "%", percent, "<= 5", median_of(percent) <= 5)]
    rows.append(_widest(stage))
    return rows


def _widest(stage: Stage) -> Row:
    """Time and peak memory at the widest cross-section."""
    sizes = stage.sizes
    task = _loss_task(stage, sizes.wide_batch, sizes.wider)
    task()
    peak = 0
    if stage.on_gpu:
        stage.wait()
        held = torch.cuda.memory_allocated(stage.device)
        torch.cuda.reset_peak_memory_stats(stage.device)
        task()
        stage.wait()
        peak = torch.cuda.max_memory_allocated(stage.device) - held
    pairs = sizes.wide_batch * (sizes.wider // 5) ** 2
    (seconds,) = stage.take_turns(task)
    millis = [value * MILLI for value in seconds]
    case = f"G5 all pairs M={sizes.wider}, {sizes.wide_batch} bars"
    row = goal_row(case, "ms", millis, "less memory than pairs", peak < 4 * pairs)
    return row | {"peak_mb": peak / 2**20, "all_pairs_mb": 4 * pairs / 2**20}


def _loss_task(stage: Stage, n_bars: int, n_symbols: int) -> Task:
    """Loss and gradient of scores (B, M) that change with nothing else."""
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=(n_bars, n_symbols)).astype(np.float32) for _ in "ab"]
    targets, scores = (torch.from_numpy(array).to(stage.device) for array in arrays)
    loss = make_loss("pairwise")
    tables = loss.tables(targets, torch.ones_like(targets, dtype=torch.bool))
    scores.requires_grad_()

    def task() -> None:
        scores.grad = None
        per_day: Tensor
        per_day, _ = loss.per_day(scores, tables)
        per_day.sum().backward()  # type: ignore[no-untyped-call]

    return task
