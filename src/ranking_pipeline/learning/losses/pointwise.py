"""Pointwise losses: each name against its own target.

A single name is a full observation here, so that a model of one symbol can use them;
only an empty day is not counted.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from ranking_pipeline.errors import UserError
from ranking_pipeline.learning.losses.common import masked, mean_over_days, row_mean


class SquaredError(nn.Module):
    """(score - target) squared."""

    def forward(self, scores: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
        """Loss of scores (B, M) against targets (B, M) where ``mask`` (B, M) is set."""
        scores, targets, mask = masked(scores, targets, mask)
        per_day = row_mean((scores - targets).square(), mask)
        return mean_over_days(per_day, mask.any(dim=1))


class Huber(nn.Module):
    """Squared error near the target, absolute error beyond ``delta``.

    Source: Huber (1964).
    """

    def __init__(self, delta: float = 1.0) -> None:
        super().__init__()
        if delta <= 0:
            raise UserError(f"loss.delta is {delta}; use a number above 0.")
        self.delta = delta

    def forward(self, scores: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
        """Loss of scores (B, M) against targets (B, M) where ``mask`` (B, M) is set."""
        scores, targets, mask = masked(scores, targets, mask)
        penalty = functional.huber_loss(
            scores, targets, reduction="none", delta=self.delta
        )
        return mean_over_days(row_mean(penalty, mask), mask.any(dim=1))


class CrossEntropy(nn.Module):
    """-log softmax(scores)[class], for scores (B, M, K) and classes 0 ... K - 1."""

    def forward(self, scores: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
        """Loss of scores (B, M, K) against classes (B, M) where ``mask`` is set."""
        scores, targets, mask = masked(scores, targets, mask)
        chosen = targets.long().unsqueeze(2)  # (B, M, 1)
        penalty = -scores.log_softmax(dim=2).gather(2, chosen).squeeze(2)  # (B, M)
        return mean_over_days(row_mean(penalty, mask), mask.any(dim=1))
