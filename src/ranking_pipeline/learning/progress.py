"""How far a training has come: epochs, steps, sums, history and the best state."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ranking_pipeline.errors import UserError
from ranking_pipeline.learning.device import Group
from ranking_pipeline.learning.steps import StepResult

History = list[dict[str, float]]

_LOG = logging.getLogger(__name__)


class Totals:
    """Sums over the steps of an epoch, on the device until they are read."""

    def __init__(self, device: torch.device) -> None:
        self._sums = torch.zeros(4, dtype=torch.float64, device=device)

    def add(self, result: StepResult) -> None:
        """Add the sums of one step."""
        self._sums += torch.stack(result)

    def read(self, group: Group) -> dict[str, float]:
        """Sum over the group, start anew, and give train_loss and train_ic.

        Each is a mean over days; the IC is NaN where no day has one.

        Raises
        ------
        UserError
            When the loss counted no day.
        """
        loss_sum, n_counted, ic_sum, n_ic = group.all_reduce_(self._sums).tolist()
        self._sums = torch.zeros_like(self._sums)
        if n_counted == 0:
            raise UserError(
                "no training bar says anything to the loss: its targets are all equal, "
                "or the loss needs more names in a bar (the pairwise losses 2 / "
                "top_pct)."
            )
        return {
            "train_loss": loss_sum / n_counted,
            "train_ic": ic_sum / n_ic if n_ic else math.nan,
        }

    def state_dict(self) -> dict[str, Tensor]:
        """What :meth:`load_state_dict` needs to go on."""
        return {"sums": self._sums}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on where another run stood."""
        self._sums.copy_(state["sums"])


@dataclass
class Progress:
    """Where training stands between two steps.

    Attributes
    ----------
    epoch, step : int
        The epoch, from 1, and the steps of it that are done.
    all_steps : int
        Steps done over all epochs.
    history : list of dict
    best_metric, best_epoch, best_state
        Of the best epoch so far; epoch 0 is none.
    finished : bool
    """

    epoch: int = 1
    step: int = 0
    all_steps: int = 0
    history: History = field(default_factory=list)
    best_metric: float = -math.inf
    best_epoch: int = 0
    best_state: dict[str, Tensor] = field(default_factory=dict)
    finished: bool = False

    def report(self, seed: int) -> None:
        """Say so in the log where a checkpoint has brought this training forward."""
        if self.all_steps:
            done = "is complete" if self.finished else "goes on"
            behind = f"{len(self.history)} epochs and {self.step} steps"
            _LOG.info("seed %d %s from its checkpoint: %s done", seed, done, behind)

    def count_step(self) -> None:
        """One more step is done."""
        self.step += 1
        self.all_steps += 1

    def offer(self, metric: float | None, min_delta: float, network: nn.Module) -> bool:
        """Keep the network's state if its metric is better than the best one.

        A tie and NaN are not better. Without a metric every epoch is.
        """
        if metric is not None and not metric > self.best_metric + min_delta:
            return False
        self.best_metric = math.nan if metric is None else metric
        self.best_epoch, self.best_state = self.epoch, _copy_state(network)
        return True

    def close_epoch(self, row: dict[str, float], epochs: int, patience: int) -> None:
        """Write the history and go to the next epoch, or finish."""
        self.history.append(row)
        waited = self.epoch - self.best_epoch
        self.finished = self.epoch >= epochs or waited >= patience
        self.epoch, self.step = self.epoch + 1, 0

    def state_dict(self) -> dict[str, Any]:
        """All attributes by name."""
        return dict(vars(self))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where another run stood."""
        vars(self).update(state)


def _copy_state(network: nn.Module) -> dict[str, Tensor]:
    return {
        name: value.detach().to("cpu", copy=True)
        for name, value in network.state_dict().items()
    }
