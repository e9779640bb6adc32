"""Differentiable Spearman loss: one minus the correlation of soft and true ranks."""

from __future__ import annotations

import torch
from torch import Tensor

from ranking_pipeline.learning.losses.base import CrossSectionLoss, Tables
from ranking_pipeline.learning.losses.common import (
    checked_temperature,
    mean_weights,
    unit_rows,
)
from ranking_pipeline.learning.losses.soft_ranks import (
    soft_ranks,
    standardised,
)
from ranking_pipeline.learning.ranks import unit_ranks


class SoftSpearman(CrossSectionLoss):
    """1 - Pearson correlation of soft ranks of scores with average ranks of targets.

    Soft ranks are taken of scores standardised within the day, so the loss is free of
    their scale. A day on which scores or targets are all equal is not counted.

    Parameters
    ----------
    temperature : float
        Width of the sigmoids, in deviations of the day's scores. Towards 0 the value
        is the rank information coefficient itself, and the gradient comes from near
        neighbours alone.

    Notes
    -----
    Cost: M² / 2 sigmoids a day, twice.

    Source: Spearman (1904); Qin, Liu and Li (2010), approximation of positions.
    """

    def __init__(self, temperature: float = 0.5) -> None:
        super().__init__()
        self.temperature = checked_temperature(temperature)

    def tables(self, targets: Tensor, mask: Tensor) -> Tables:
        """Centred target ranks of length one, and weights of the names."""
        return {
            "weights": mean_weights(mask, targets.dtype),
            "unit": unit_ranks(targets, mask, targets.dtype),
        }

    def per_day(self, scores: Tensor, tables: Tables) -> tuple[Tensor, Tensor]:
        """1 - soft rank correlation of each day."""
        weights, unit = tables["weights"], tables["unit"]
        level = standardised(scores, weights)
        ranks = soft_ranks(level, weights, self.temperature) * (weights > 0)
        value = 1 - (unit_rows(ranks, weights) * unit).sum(dim=1)
        return value, unit.any(dim=1) & level.detach().any(dim=1)

    def without_skill(self, zeros: Tensor, tables: Tables) -> Tensor:
        """1: equal ranks have no correlation."""
        return torch.ones_like(zeros[:, 0])
