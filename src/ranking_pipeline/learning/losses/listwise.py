"""Listwise loss: the whole day as one distribution over names."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ranking_pipeline.errors import UserError
from ranking_pipeline.learning.losses.common import masked, mean_over_days, varies
from ranking_pipeline.learning.ranks import normal_scores


class ListwiseSoftmax(nn.Module):
    """Cross-entropy of softmax(scores) against softmax(normal scores of targets / T).

    Targets are first turned into normal scores: on percentiles in [0, 1] a temperature
    of one would make the distribution almost uniform.

    Source: Cao et al. (2007), ListNet, top-one probabilities.

    Parameters
    ----------
    temperature : float
        T; smaller puts more weight on the best names.
    """

    def __init__(self, temperature: float = 1.0) -> None:
        super().__init__()
        if temperature <= 0:
            raise UserError(f"loss.temperature is {temperature}; use a number above 0.")
        self.temperature = temperature

    def forward(self, scores: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
        """Loss of scores (B, M) against targets (B, M) where ``mask`` (B, M) is set."""
        scores, targets, mask = masked(scores, targets, mask)
        weights = self.target_weights(targets, mask)
        # A large finite number: with -inf an empty day would be NaN in the gradient.
        floor = torch.finfo(scores.dtype).min / 4
        log_share = torch.where(mask, scores, floor).log_softmax(dim=1)
        per_day = -torch.where(mask, weights * log_share, 0.0).sum(dim=1)
        return mean_over_days(per_day, varies(targets, mask))

    def target_weights(self, targets: Tensor, mask: Tensor) -> Tensor:
        """Distribution over the names of each day, shape (B, M); 0 outside the mask."""
        logits = normal_scores(targets, mask).to(targets.dtype) / self.temperature
        floor = torch.finfo(logits.dtype).min / 4
        weights = torch.where(mask, logits, floor).softmax(dim=1)
        return torch.where(mask, weights, 0.0)
