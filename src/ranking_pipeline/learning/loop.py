"""The training loop: networks, losses and inputs are its arguments."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from ranking_pipeline.errors import UserError
from ranking_pipeline.learning.cross_sections import Batch, CrossSections, IntArray
from ranking_pipeline.learning.device import seeded
from ranking_pipeline.learning.losses.common import Loss

History = list[dict[str, float]]
# (scores, targets, mask), each (n_bars, S), -> metrics; the first one is maximised.
Measure = Callable[[Tensor, Tensor, Tensor], Mapping[str, Tensor]]


@dataclass(frozen=True)
class LoopConfig:
    """How to train.

    Attributes
    ----------
    epochs : int
        At most this many passes over the training bars.
    timestamps_per_batch : int
        Bars B whose whole cross-sections make one step.
    symbols_per_timestamp : int or None
        Symbols drawn from each bar in each epoch; None takes all.
    timestamps_per_epoch : int or None
        Bars visited in an epoch; None visits all.
    shuffle_timestamps : bool
        Visit the bars in a new seeded order each epoch; a cross-section stays whole.
    learning_rate, weight_decay : float
        Of AdamW (Loshchilov and Hutter, 2019); decay is decoupled from the gradient.
    gradient_clip : float
        Largest norm of the gradient.
    patience : int
        Epochs without a better validation metric before training stops.
    min_delta : float
        Improvement that counts as better; a tie keeps the earlier epoch.
    seed : int
        Of the order, the draws and the dropout.
    """

    epochs: int = 50
    timestamps_per_batch: int = 32
    symbols_per_timestamp: int | None = None
    timestamps_per_epoch: int | None = None
    shuffle_timestamps: bool = True
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    gradient_clip: float = 1.0
    patience: int = 10
    min_delta: float = 1e-4
    seed: int = 0


@dataclass(frozen=True)
class TrainingResult:
    """The best state and how training went.

    Attributes
    ----------
    state : dict of Tensor, on the CPU
        Parameters of the best epoch; the network holds the same.
    history : list of dict
        One row per epoch: epoch (from 1), train_loss, learning_rate, the validation
        metrics, and ``best`` (1.0 where the epoch was the best so far).
    best_epoch : int
        Epoch of ``state``.
    best_metric : float
        Its validation metric; NaN without validation.
    """

    state: dict[str, Tensor]
    history: History
    best_epoch: int
    best_metric: float


@dataclass
class _Best:
    """The best epoch so far; NaN never counts as better."""

    metric: float = -math.inf
    epoch: int = 0
    state: dict[str, Tensor] = field(default_factory=dict)

    def offer(
        self, metric: float, epoch: int, min_delta: float, net: nn.Module
    ) -> bool:
        if not metric > self.metric + min_delta:
            return False
        self.metric, self.epoch, self.state = metric, epoch, _copy_state(net)
        return True


def train(
    network: nn.Module,
    loss: Loss,
    blocks: tuple[CrossSections, CrossSections | None],
    measure: Measure,
    config: LoopConfig,
    *,
    on_epoch: Callable[[dict[str, float]], None] | None = None,
) -> TrainingResult:
    """Train a network on whole cross-sections and leave the best epoch's state in it.

    Parameters
    ----------
    network : nn.Module
        Windows (N, L, C) -> scores (N,) or (N, K).
    loss : Loss
        (B, S) scores, targets and mask -> scalar.
    blocks : (train, validation)
        Without validation the last epoch is kept.
    measure : Measure
        Validation metrics; the first one decides which epoch is best.
    config : LoopConfig
    on_epoch : callable, optional
        Called with each row of the history.

    Raises
    ------
    UserError
        When there is nothing to train on, the loss stops being finite, or no epoch has
        a defined validation metric.
    """
    train_block, validation = blocks
    if train_block.n_bars == 0:
        raise UserError(
            "no training bar has enough complete windows: lower sequence_length or "
            "min_symbols_per_timestamp, or give more history."
        )
    device = train_block.inputs.device
    network.to(device)
    optimizer = torch.optim.AdamW(
        network.parameters(),
        lr=config.learning_rate,
        weight_decay=config.weight_decay,
        fused=True,
    )
    best, history = _Best(), History()
    with seeded(config.seed, device):
        for epoch in range(1, config.epochs + 1):
            # One pass over the bars. Nothing in it waits for the device.
            block, order = _epoch_plan(train_block, config, epoch)
            network.train()
            total = torch.zeros((), device=device)
            for batch in block.batches(order, config.timestamps_per_batch):
                value = _step(network, loss, optimizer, batch, config.gradient_clip)
                total += value * batch.mask.shape[0]
            # The only read of the epoch before validation.
            train_loss = float(total) / len(order)
            if not math.isfinite(train_loss):
                raise UserError(
                    f"the training loss is {train_loss} in epoch {epoch}: lower "
                    f"learning_rate ({config.learning_rate}) or check the inputs."
                )

            row = {
                "epoch": float(epoch),
                "train_loss": train_loss,
                "learning_rate": config.learning_rate,
            }
            metric = float(epoch)
            if validation is not None:
                metrics = _validate(network, validation, measure, config)
                metric = next(iter(metrics.values()))
                row |= metrics
            improved = best.offer(metric, epoch, config.min_delta, network)
            history.append(row | {"best": float(improved)})
            if on_epoch is not None:
                on_epoch(history[-1])
            if epoch - best.epoch >= config.patience:
                break
    if not best.state:
        raise UserError(
            "no epoch had a defined validation metric: the validation block holds too "
            "few complete cross-sections, or all scores were equal."
        )
    network.load_state_dict(best.state)
    metric = best.metric if validation is not None else math.nan
    return TrainingResult(best.state, history, best.epoch, metric)


def _step(
    network: nn.Module,
    loss: Loss,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    gradient_clip: float,
) -> Tensor:
    scores = batch.spread(network(batch.windows))  # (N,) -> (B, S)
    value = loss(scores, batch.targets, batch.mask)
    optimizer.zero_grad(set_to_none=True)
    value.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(network.parameters(), gradient_clip)
    optimizer.step()
    return value.detach()


def _epoch_plan(
    block: CrossSections, config: LoopConfig, epoch: int
) -> tuple[CrossSections, IntArray]:
    """Cells and order of bars of one epoch; both depend on (seed, epoch) only."""
    if config.symbols_per_timestamp is not None:
        block = block.sampled(config.symbols_per_timestamp, (config.seed, epoch, 1))
    order = np.arange(block.n_bars)
    if config.shuffle_timestamps:
        order = np.random.default_rng([config.seed, epoch]).permutation(order)
    return block, order[: config.timestamps_per_epoch]


def _validate(
    network: nn.Module, block: CrossSections, measure: Measure, config: LoopConfig
) -> dict[str, float]:
    scores, targets, mask = score(network, block, config.timestamps_per_batch)
    metrics = measure(scores, targets, mask)
    return {name: float(value) for name, value in metrics.items()}


@torch.no_grad()
def score(
    network: nn.Module, block: CrossSections, bars_per_batch: int = 32
) -> tuple[Tensor, Tensor, Tensor]:
    """Score every cell of a block.

    Returns
    -------
    scores : Tensor, shape (n_bars, S) or (n_bars, S, K); 0 outside the mask
    targets : Tensor, shape (n_bars, S)
    mask : Tensor of bool, shape (n_bars, S)
        All in the order of ``block.bars``.
    """
    network.to(block.inputs.device)
    network.eval()
    parts = [
        (batch.spread(network(batch.windows)), batch.targets, batch.mask)
        for batch in block.batches(np.arange(block.n_bars), bars_per_batch)
    ]
    scores, targets, mask = (torch.cat(column) for column in zip(*parts, strict=True))
    return scores, targets, mask


def negative_loss(loss: Loss) -> Measure:
    """Make a measure for :func:`train`: minus the loss on the validation block."""

    def measure(scores: Tensor, targets: Tensor, mask: Tensor) -> Mapping[str, Tensor]:
        return {"validation_score": -loss(scores, targets, mask)}

    return measure


def _copy_state(network: nn.Module) -> dict[str, Tensor]:
    return {
        name: value.detach().to("cpu", copy=True)
        for name, value in network.state_dict().items()
    }
