"""NeuralNDCG: discounted cumulative gain of a softly sorted list."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ranking_pipeline.learning.losses.base import CrossSectionLoss, Tables
from ranking_pipeline.learning.losses.common import checked_temperature
from ranking_pipeline.learning.losses.gains import discounts, gain_tables
from ranking_pipeline.learning.losses.soft_ranks import (
    standardised,
)

# Cells of the sorting matrices that are held at once: about what a cache holds.
_CELLS_PER_CHUNK = 1 << 18
_SCALINGS = 10


class NeuralNDCG(CrossSectionLoss):
    """1 - sum over places of discount times softly sorted gain, over its ideal value.

    A matrix P (n, n) stands for the sorting of the scores s: row i is the softmax of
    ((n + 1 - 2 i) s_j - sum over k of |s_j - s_k|) / (n temperature). Rows and columns
    are scaled in turn, ten times, towards sums of one. Gains are (rank of the target - 1) /
    (n - 1); scores are standardised within the day, so the loss is free of their scale.
    A day on which scores or targets are all equal is not counted.

    Parameters
    ----------
    temperature : float
        In deviations of the day's scores; the n in the divisor makes the softness of
        the sorting the same on small and on large days.

    Notes
    -----
    Cost: about 10 M² exponentials and products and 20 matrix-vector products a day;
    memory is that of some dozen M x M matrices, of one day or of a few small ones.
    Days of more than some hundred names are better served by another loss.

    Source: Pobrotyn and Białobrzeski (2021); Grover et al. (2019), NeuralSort; Sinkhorn
    and Knopp (1967), the scaling.
    """

    def __init__(self, temperature: float = 0.1) -> None:
        super().__init__()
        self.temperature = checked_temperature(temperature)

    def tables(self, targets: Tensor, mask: Tensor) -> Tables:
        """Gains divided by their ideal sum, and weights of the names."""
        return gain_tables(targets, mask)

    def per_day(self, scores: Tensor, tables: Tables) -> tuple[Tensor, Tensor]:
        """1 - softly sorted NDCG of each day."""
        weights = tables["weights"]
        level = standardised(scores, weights)
        gain: Tensor = _SortedGain.apply(  # type: ignore[no-untyped-call]
            level, weights > 0, tables["gains"], self.temperature
        )
        return 1 - gain, tables["varies"] & level.detach().any(dim=1)

    def without_skill(self, zeros: Tensor, tables: Tables) -> Tensor:
        """1 - NDCG with the mean gain at every place: P is then the same all over."""
        weights = tables["weights"]
        places = torch.arange(1, zeros.shape[1] + 1, device=zeros.device)
        used = places <= (weights > 0).sum(dim=1, keepdim=True)
        discount = torch.where(used, discounts(places.to(zeros.dtype)), 0.0)
        return 1 - (tables["gains"] * weights).sum(dim=1) * discount.sum(dim=1)


class _SortedGain(torch.autograd.Function):
    """Value and gradient of some days at a time: no matrix survives its chunk."""

    @staticmethod
    def forward(
        ctx: Any, values: Tensor, mask: Tensor, gains: Tensor, temperature: float
    ) -> Tensor:
        total, gradient = values.new_empty(len(values)), torch.empty_like(values)
        days = max(1, _CELLS_PER_CHUNK // max(1, values.shape[1] ** 2))
        for start in range(0, len(values), days):
            part = slice(start, start + days)
            with torch.enable_grad():
                leaf = values[part].detach().requires_grad_()
                gain = _sorted_gain(leaf, mask[part], gains[part], temperature)
                (gradient[part],) = torch.autograd.grad(gain.sum(), leaf)
            total[part] = gain.detach()
        ctx.save_for_backward(gradient)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return gradient * gradients[0].unsqueeze(1), None, None, None


def _sorted_gain(
    values: Tensor, mask: Tensor, gains: Tensor, temperature: float
) -> Tensor:
    """Discounted sum of the softly sorted gains, shape (B,)."""
    discount = discounts(
        torch.arange(1, values.shape[1] + 1, device=values.device).to(values.dtype)
    )
    matrix = _sorting_matrix(values, mask, temperature)  # (B, M places, M names)
    tiny = torch.finfo(values.dtype).tiny ** 0.5
    column = mask.to(values.dtype).unsqueeze(2)  # (B, M, 1)
    for _ in range(_SCALINGS):
        row = 1 / (matrix @ column).clamp(min=tiny)
        column = 1 / (matrix.mT @ row).clamp(min=tiny)
    row = 1 / (matrix @ column).clamp(min=tiny)
    placed = row * (matrix @ (column * gains.unsqueeze(2)))  # (B, M, 1)
    return placed.squeeze(2) @ discount


def _sorting_matrix(values: Tensor, mask: Tensor, temperature: float) -> Tensor:
    """Row i softly points at the i-th best name; 0 outside the mask, (B, M, M)."""
    count = mask.sum(dim=1).to(values.dtype)[:, None, None]  # (B, 1, 1)
    places = torch.arange(1, values.shape[1] + 1, device=values.device)
    distance = (values[:, :, None] - values[:, None, :]).abs()  # (B, M, M)
    spread = distance @ mask.to(values.dtype).unsqueeze(2)  # (B, M, 1)
    slope = count + 1 - 2 * places[None, :, None]  # (B, M, 1)
    logits = slope * values[:, None, :] - spread.mT  # (B, M, M)
    floor = torch.finfo(values.dtype).min / 4
    logits = (logits / (count.clamp(min=1) * temperature)).masked_fill(
        ~mask[:, None, :], floor
    )
    inside = (places[None, :, None] <= count) & mask[:, None, :]
    return logits.softmax(dim=2) * inside
