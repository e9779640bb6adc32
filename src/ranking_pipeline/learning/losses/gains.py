"""Gains and discounts of a discounted cumulative gain on rank targets."""

from __future__ import annotations

import torch
from torch import Tensor

from ranking_pipeline.learning.ranks import average_ranks


def rank_gains(targets: Tensor, mask: Tensor) -> Tensor:
    """(average rank - 1) / (n - 1), float64 (B, M): 1 is the best; 0 outside the mask."""
    count = mask.sum(dim=1, keepdim=True)
    gains = (average_ranks(targets, mask) - 1) / (count - 1).clamp(min=1)
    return torch.where(mask, gains, 0.0)


def discounts(position: Tensor) -> Tensor:
    """1 / log2(1 + position), the best position being 1."""
    return 1 / torch.log2(1 + position)


def ideal_gain(gains: Tensor, mask: Tensor) -> Tensor:
    """Discounted sum of the gains in their best order, shape (B,); 1 without a gain."""
    places = torch.arange(1, gains.shape[1] + 1, device=gains.device)
    best = torch.where(mask, gains, 0.0).sort(dim=1, descending=True).values
    ideal = (best * discounts(places.to(gains.dtype))).sum(dim=1)
    return torch.where(ideal > 0, ideal, 1.0)
