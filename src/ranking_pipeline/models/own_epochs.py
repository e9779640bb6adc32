"""Own epochs: early stopping around a step that the training loop cannot take.

Steps with two optimizers or with loops of their own visit the same batches, stop by the
same rule and leave the same history as the loop of ``learning/loop.py``.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ranking_pipeline.errors import UserError
from ranking_pipeline.learning.cross_sections import Batch, CrossSections
from ranking_pipeline.learning.device import SingleProcess, seeded
from ranking_pipeline.learning.epochs import EpochPlan
from ranking_pipeline.learning.loop_config import LoopConfig
from ranking_pipeline.learning.progress import History, Progress


def train_epochs(
    network: nn.Module,
    block: CrossSections,
    step: Callable[[Batch], Tensor],
    judge: Callable[[], float] | None,
    config: LoopConfig,
) -> History:
    """Take steps until patience ends, and leave the best epoch's state in the network.

    Parameters
    ----------
    network : nn.Module
        On the device of the block.
    block : CrossSections
    step : callable
        Changes the network by one batch and gives its loss, 0-dimensional and detached.
    judge : callable or None
        Gives the validation metric, higher is better; without it the last epoch is
        kept.
    config : LoopConfig

    Returns
    -------
    list of dict
        One row per epoch: epoch, train_loss (mean over its steps), validation_score and
        ``best``.

    Raises
    ------
    UserError
        When there is nothing to train on, or the loss stops being finite.
    """
    if block.n_bars == 0:
        raise UserError("there is no complete training row to learn from.")
    progress = Progress()
    with seeded(config.seed, block.inputs.device):
        while not progress.finished:
            network.train()
            plan = EpochPlan.make(block, config, progress.epoch)
            losses = [step(batch) for batch in plan.batches(SingleProcess())]
            loss = float(torch.stack(losses).mean())
            row = {"epoch": float(progress.epoch), "train_loss": loss}
            _check_finite(row, network, config)
            metric = None
            if judge is not None:
                network.eval()
                metric = row["validation_score"] = judge()
            better = progress.offer(metric, config.min_delta, network)
            progress.close_epoch(
                row | {"best": float(better)}, config.epochs, config.patience
            )
    network.load_state_dict(progress.best_state)
    return progress.history


def _check_finite(
    row: dict[str, float], network: nn.Module, config: LoopConfig
) -> None:
    weights = [bool(part.isfinite().all()) for part in network.parameters()]
    if not math.isfinite(row["train_loss"]) or not all(weights):
        raise UserError(
            f"training diverged in epoch {row['epoch']:.0f} (loss {row['train_loss']}): "
            f"lower learning_rate ({config.learning_rate}) or check the features."
        )
