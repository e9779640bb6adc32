"""The training loop: networks, losses and inputs are its arguments."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from ranking_pipeline.errors import UserError
from ranking_pipeline.learning.checkpoints import CheckpointFile, Keeper
from ranking_pipeline.learning.cross_sections import CrossSections
from ranking_pipeline.learning.dense import SeriesScorer, dense_scores
from ranking_pipeline.learning.device import Group, SingleProcess, seeded
from ranking_pipeline.learning.epochs import EpochPlan, n_steps
from ranking_pipeline.learning.loop_config import LoopConfig
from ranking_pipeline.learning.losses.base import CrossSectionLoss, mean_over_days
from ranking_pipeline.learning.progress import History, Progress, Totals
from ranking_pipeline.learning.schedule import Schedule, set_rate
from ranking_pipeline.learning.steps import (
    block_tables,
    can_score_series,
    make_optimizer,
    make_step,
)

__all__ = [
    "History",
    "LoopConfig",
    "Measure",
    "TrainingResult",
    "negative_loss",
    "score",
    "train",
]

# (scores, targets, mask), each (n_bars, S), -> metrics; the first one is maximised.
Measure = Callable[[Tensor, Tensor, Tensor], Mapping[str, Tensor]]


@dataclass(frozen=True)
class TrainingResult:
    """The best state and how training went.

    Attributes
    ----------
    state : dict of Tensor, on the CPU
        Parameters of the best epoch; the network holds the same.
    history : list of dict
        One row per epoch: epoch (from 1), train_loss and train_ic (means over the days
        of its steps; NaN where no day has an IC), learning_rate (of its last step), the
        validation metrics, and ``best`` (1.0 where the epoch was the best so far).
    best_epoch : int
        Epoch of ``state``.
    best_metric : float
        Its validation metric; NaN without validation.
    """

    state: dict[str, Tensor]
    history: History
    best_epoch: int
    best_metric: float


def train(
    network: nn.Module,
    loss: CrossSectionLoss,
    blocks: tuple[CrossSections, CrossSections | None],
    measure: Measure,
    config: LoopConfig,
    *,
    on_epoch: Callable[[dict[str, float]], None] | None = None,
    on_step: Callable[[int], None] | None = None,
    checkpoint: CheckpointFile | None = None,
    group: Group = SingleProcess(),  # noqa: B008 - immutable
) -> TrainingResult:
    """Train a network on whole cross-sections and leave the best epoch's state in it.

    Parameters
    ----------
    network : nn.Module
        Windows (N, L, C) and their layout -> scores (N,) or (N, K).
    loss : CrossSectionLoss
    blocks : (train, validation)
        Without validation the last epoch is kept.
    measure : Measure
        Validation metrics; the first one decides which epoch is best.
    config : LoopConfig
    on_epoch : callable, optional
        Called with each row of the history, and ``windows_per_second`` by the clock.
    on_step : callable, optional
        Called after each step with the number of windows that this process took.
    checkpoint : CheckpointFile, optional
        Where to keep the state; a training that finds its own goes on from there.
    group : Group
        Processes that train together; each passes the same blocks.

    Raises
    ------
    UserError
        When there is nothing to train on, options do not go together, the loss stops
        being finite, or no epoch has a defined validation metric.
    """
    train_block, validation = blocks
    _check_blocks(train_block, validation, config)
    device = train_block.inputs.device
    network.to(device)
    optimizer = make_optimizer(network, config)
    step = make_step(network, loss, {}, optimizer, config, train_block.inputs, group)
    schedule = Schedule.of(config, n_steps(train_block, config))
    progress, totals = Progress(), Totals(device)
    keeper = Keeper(
        checkpoint,
        group,
        {
            "network": network,
            "optimizer": optimizer,
            "schedule": schedule,
            "progress": progress,
        },
        {"loss": loss, "totals": totals},
        device,
    )

    block = None
    with seeded(config.seed, device, group.rank):
        keeper.resume()
        progress.report(config.seed)
        while not progress.finished:
            # One pass over the bars. Nothing in it waits for the device.
            plan = EpochPlan.make(train_block, config, progress.epoch)
            if block is not plan.block:
                block, step.tables = plan.block, block_tables(loss, plan.block)
            network.train()
            started, windows = time.perf_counter(), 0
            for batch in plan.batches(group, skip=progress.step):
                set_rate(optimizer, schedule.rate(progress.all_steps))
                totals.add(step(batch))
                progress.count_step()
                keeper.after_step()
                windows += batch.n_cells
                if on_step is not None:
                    on_step(batch.n_cells)

            # The only read of the epoch before validation.
            row = {"epoch": float(progress.epoch)} | totals.read(group)
            _check_finite(row, network, config)
            seconds = time.perf_counter() - started
            row["learning_rate"] = schedule.rate(progress.all_steps - 1)

            metric = None
            if validation is not None:
                metrics = _validate(network, validation, measure, config, group)
                metric = next(iter(metrics.values()))
                row |= metrics
            improved = progress.offer(metric, config.min_delta, network)
            row["best"] = float(improved)
            schedule.after_epoch(improved)
            progress.close_epoch(row, config.epochs, config.patience)
            if on_epoch is not None:
                on_epoch(row | {"windows_per_second": windows / seconds})
            keeper.write()

    if not progress.best_state:
        raise UserError(
            "no epoch had a defined validation metric: the validation block holds too "
            "few complete cross-sections, or all scores were equal."
        )
    network.load_state_dict(progress.best_state)
    return TrainingResult(
        progress.best_state,
        progress.history,
        progress.best_epoch,
        progress.best_metric,
    )


def _check_blocks(
    train_block: CrossSections, validation: CrossSections | None, config: LoopConfig
) -> None:
    if train_block.n_bars == 0:
        raise UserError(
            "no training bar has enough complete windows: lower sequence_length or "
            "min_symbols_per_timestamp, or give more history."
        )
    if config.schedule == "plateau" and validation is None:
        raise UserError("schedule is 'plateau', which needs a validation block.")


def _check_finite(
    row: dict[str, float], network: nn.Module, config: LoopConfig
) -> None:
    """Refuse an epoch that diverged; its last step shows in the weights alone."""
    remedy = f"lower learning_rate ({config.learning_rate}) or check inputs and loss."
    epoch = f"{row['epoch']:.0f}"
    if not math.isfinite(row["train_loss"]):
        raise UserError(
            f"the training loss is {row['train_loss']} in epoch {epoch}: {remedy}"
        )
    with torch.no_grad():
        weights = [part.isfinite().all() for part in network.parameters()]
    if weights and not bool(torch.stack(weights).all()):
        raise UserError(
            f"weights of the network are not finite after epoch {epoch}: {remedy}"
        )


def _validate(
    network: nn.Module,
    block: CrossSections,
    measure: Measure,
    config: LoopConfig,
    group: Group,
) -> dict[str, float]:
    scores, targets, mask = score(network, block, config.timestamps_per_batch, group)
    metrics = measure(scores, targets, mask)
    return {name: float(value) for name, value in metrics.items()}


@torch.no_grad()
def score(
    network: nn.Module,
    block: CrossSections,
    bars_per_batch: int = 32,
    group: Group = SingleProcess(),  # noqa: B008 - immutable
) -> tuple[Tensor, Tensor, Tensor]:
    """Score every cell of a block.

    A convolutional network scores whole series in one pass where the windows are plain
    slices of them.

    Parameters
    ----------
    network : nn.Module
    block : CrossSections
    bars_per_batch : int
    group : Group
        Processes that share the work; each gets all the scores.

    Returns
    -------
    scores : Tensor, shape (n_bars, S) or (n_bars, S, K); 0 outside the mask
    targets : Tensor, shape (n_bars, S)
    mask : Tensor of bool, shape (n_bars, S)
        All in the order of ``block.bars``.
    """
    network.to(block.inputs.device)
    network.eval()
    if can_score_series(network, block.inputs):
        scores = dense_scores(cast(SeriesScorer, network), block)
    elif block.n_bars < group.size:
        # Too few to share: a process without a batch would not know the shape.
        scores = _scored(network, block, bars_per_batch, SingleProcess())
    else:
        scores = _scored(network, block, bars_per_batch, group)
    return scores, block.targets, block.mask


def _scored(
    network: nn.Module, block: CrossSections, bars_per_batch: int, group: Group
) -> Tensor:
    scores = None
    for batch in EpochPlan.whole(block, bars_per_batch, group).batches(SingleProcess()):
        part = batch.layout.spread(network(batch.windows(), batch.layout))
        if scores is None:
            scores = part.new_zeros((block.n_bars, *part.shape[1:]))
        scores.index_copy_(0, batch.rows, part)
    if scores is None:
        return torch.zeros_like(block.targets)
    return group.all_reduce_(scores)


def negative_loss(loss: CrossSectionLoss, weights: Tensor | None = None) -> Measure:
    """Make a measure for :func:`train`: minus the loss on the validation block.

    NaN where the loss counts no day of it.

    Parameters
    ----------
    loss : CrossSectionLoss
    weights : Tensor, shape (n_bars, S), or None
        Of the cells of the validation block.
    """

    def measure(scores: Tensor, targets: Tensor, mask: Tensor) -> Mapping[str, Tensor]:
        per_day, counted = loss.days(scores, targets, mask, weights)
        value = -mean_over_days(per_day, counted)
        return {"validation_score": value.masked_fill(~counted.any(), torch.nan)}

    return measure
