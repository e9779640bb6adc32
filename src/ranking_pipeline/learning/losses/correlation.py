"""Information-coefficient loss: one minus the correlation of scores and targets."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ranking_pipeline.learning.losses.common import (
    masked,
    mean_over_days,
    row_mean,
    varies,
)


class InformationCoefficient(nn.Module):
    """1 - Pearson correlation of each day, averaged over days.

    On rank targets this is the differentiable half of the Spearman correlation. A day
    on which scores or targets are all equal has no correlation and is not counted.
    """

    def forward(self, scores: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
        """Loss of scores (B, M) against targets (B, M) where ``mask`` (B, M) is set."""
        scores, targets, mask = masked(scores, targets, mask)
        counted = varies(scores.detach(), mask) & varies(targets, mask)
        product = (_unit(scores, mask) * _unit(targets, mask)).sum(dim=1)
        return mean_over_days(1 - product, counted)


def _unit(values: Tensor, mask: Tensor) -> Tensor:
    """Centre each row over its mask and scale it to length one; zeros stay zero."""
    centred = torch.where(mask, values - row_mean(values, mask).unsqueeze(1), 0.0)
    # Scaling by the largest value first keeps the squares inside the float range.
    tiny = torch.finfo(values.dtype).tiny
    largest = centred.detach().abs().amax(dim=1, keepdim=True).clamp(min=tiny)
    scaled = centred / largest
    length = scaled.square().sum(dim=1, keepdim=True).clamp(min=tiny).sqrt()
    return scaled / length
