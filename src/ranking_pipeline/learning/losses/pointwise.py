"""Pointwise losses: each name against its own target.

A single name is a full observation here, so that a model of one symbol can use them;
only an empty day is not counted.
"""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor
from torch.nn import functional

from ranking_pipeline.errors import UserError
from ranking_pipeline.learning.losses.base import CrossSectionLoss, Tables
from ranking_pipeline.learning.losses.common import mean_weights


class _Pointwise(CrossSectionLoss):
    """Mean of an error over the names of each day."""

    def tables(self, targets: Tensor, mask: Tensor) -> Tables:
        """Targets, and the weights (B, M) of a mean over the day."""
        return {"targets": targets, "weights": mean_weights(mask, targets.dtype)}

    def weighted_tables(
        self, targets: Tensor, mask: Tensor, weights: Tensor | None
    ) -> Tables:
        """Weigh each name's own error; a day's mean keeps the number of its names."""
        tables = self.tables(targets, mask)
        if weights is None:
            return tables
        return tables | {"weights": tables["weights"] * weights.to(targets.dtype)}

    def per_day(self, scores: Tensor, tables: Tables) -> tuple[Tensor, Tensor]:
        """Mean over the names of each day."""
        weights = tables["weights"]
        value = (self.error(scores, tables["targets"]) * weights).sum(dim=1)
        return value, weights.any(dim=1)

    @abstractmethod
    def error(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Error of each name, shape (B, M)."""


class SquaredError(_Pointwise):
    """(score - target) squared.

    Source: Gauss (1809), least squares.
    """

    def error(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Squared error of each name."""
        return (scores - targets).square()


class Huber(_Pointwise):
    """Half the squared error near the target, growing linearly beyond ``delta``.

    Source: Huber (1964).

    Parameters
    ----------
    delta : float
        In units of the target.
    """

    def __init__(self, delta: float = 1.0) -> None:
        super().__init__()
        if delta <= 0:
            raise UserError(f"loss.delta is {delta}; use a number above 0.")
        self.delta = delta

    def error(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Huber's error of each name."""
        return functional.huber_loss(
            scores, targets, reduction="none", delta=self.delta
        )


class CrossEntropy(_Pointwise):
    """-log softmax(scores)[class], for scores (B, M, K) and classes 0 ... K - 1.

    Source: Cox (1958), logistic regression.
    """

    def error(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Minus the log probability of each name's class."""
        chosen = targets.long().unsqueeze(2)  # (B, M, 1)
        return -scores.log_softmax(dim=2).gather(2, chosen).squeeze(2)  # (B, M)
