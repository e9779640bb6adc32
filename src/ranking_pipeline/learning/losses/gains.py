"""Gains and discounts of a discounted cumulative gain on rank targets."""

from __future__ import annotations

import torch
from torch import Tensor

from ranking_pipeline.learning.losses.base import Tables
from ranking_pipeline.learning.losses.common import mean_weights, varies
from ranking_pipeline.learning.ranks import average_ranks


def rank_gains(targets: Tensor, mask: Tensor) -> Tensor:
    """(average rank - 1) / (n - 1), float64 (B, M): 1 is the best; 0 outside the mask."""
    count = mask.sum(dim=1, keepdim=True)
    gains = (average_ranks(targets, mask) - 1) / (count - 1).clamp(min=1)
    return torch.where(mask, gains, 0.0)


def gain_tables(targets: Tensor, mask: Tensor) -> Tables:
    """What the losses on gains need of the targets.

    ``gains`` (B, M) are divided by their ideal sum; ``weights`` (B, M) are those of a
    mean over the names; ``varies`` (B,) are the days whose targets differ.
    """
    gains = rank_gains(targets, mask)
    ideal = ideal_gain(gains, mask).unsqueeze(1)
    return {
        "weights": mean_weights(mask, targets.dtype),
        "gains": (gains / ideal).to(targets.dtype),
        "varies": varies(targets, mask),
    }


def discounts(position: Tensor) -> Tensor:
    """1 / log2(1 + position), the best position being 1."""
    return 1 / torch.log2(1 + position)


def ideal_gain(gains: Tensor, mask: Tensor) -> Tensor:
    """Discounted sum of the gains in their best order, shape (B,); 1 without a gain."""
    places = torch.arange(1, gains.shape[1] + 1, device=gains.device)
    best = torch.where(mask, gains, 0.0).sort(dim=1, descending=True).values
    ideal = (best * discounts(places.to(gains.dtype))).sum(dim=1)
    return torch.where(ideal > 0, ideal, 1.0)
