"""The learning rate of every step."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch

from ranking_pipeline.errors import UserError
from ranking_pipeline.learning.loop_config import LoopConfig

SCHEDULES = ("constant", "cosine", "plateau")
# Share of the learning rate that the cosine ends at.
_LAST_SHARE = 0.1


@dataclass
class Schedule:
    """Learning rate by step.

    ``constant`` stays. ``cosine`` falls along half a cosine to a tenth at the last step
    (Loshchilov and Hutter, 2017). ``plateau`` halves after half of the patience has
    passed without a better epoch, counted from the best epoch or the last halving. Each
    starts with a linear rise over the warm-up share of all steps.

    Parameters
    ----------
    name : str
    learning_rate : float
        The highest rate.
    n_steps : int
        Steps of the whole training, when no epoch is cut off by the patience.
    warmup_share : float in [0, 1)
    patience : int
        Epochs.
    """

    name: str
    learning_rate: float
    n_steps: int
    warmup_share: float = 0.0
    patience: int = 10
    _factor: float = field(default=1.0, init=False)
    _waited: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if self.name not in SCHEDULES:
            raise UserError(
                f"schedule is {self.name!r}; use one of {', '.join(SCHEDULES)}."
            )
        if not 0 <= self.warmup_share < 1:
            raise UserError(
                f"warmup_share is {self.warmup_share}; use a share in [0, 1)."
            )

    @classmethod
    def of(cls, config: LoopConfig, n_steps: int) -> Schedule:
        """Make the schedule that a configuration asks for."""
        return cls(
            config.schedule,
            config.learning_rate,
            n_steps,
            config.warmup_share,
            config.patience,
        )

    def rate(self, step: int) -> float:
        """Rate of a step, counted from 0 over all epochs."""
        warmup = math.ceil(self.warmup_share * self.n_steps)
        if step < warmup:
            return self.learning_rate * (step + 1) / warmup
        if self.name == "cosine":
            done = (step - warmup) / max(1, self.n_steps - 1 - warmup)
            height = (1 + math.cos(math.pi * min(1.0, done))) / 2
            return self.learning_rate * (_LAST_SHARE + (1 - _LAST_SHARE) * height)
        return self.learning_rate * self._factor

    def after_epoch(self, improved: bool) -> None:
        """Take note of an epoch's outcome."""
        self._waited = 0 if improved else self._waited + 1
        if self.name == "plateau" and self._waited >= max(1, self.patience // 2):
            self._factor, self._waited = self._factor / 2, 0

    def state_dict(self) -> dict[str, float]:
        """What :meth:`load_state_dict` needs to go on."""
        return {"factor": self._factor, "waited": self._waited}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Go on where another schedule stood."""
        self._factor, self._waited = state["factor"], int(state["waited"])


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate; in place where it is a tensor that a graph reads."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate
