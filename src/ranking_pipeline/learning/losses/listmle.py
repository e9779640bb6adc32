"""ListMLE: the likelihood of the targets' order when names are drawn one by one."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ranking_pipeline.learning.losses.base import CrossSectionLoss, Tables
from ranking_pipeline.learning.losses.common import as_slots, varies

# Odd constants of a multiplicative hash (Steele, Lea and Flood, 2014).
_FACTORS = (-7046029254386353131, -4658895280553007687)


class ListMLE(CrossSectionLoss):
    """-log probability of the targets' order, per name.

    With names 1 ... n from the best target to the worst:
    mean over i of log(sum over j >= i of exp(s_j)) - s_i.

    Equal targets stand in an order drawn by ``seed`` and the slot alone: it stays the
    same in every step. A day whose targets are all equal is not counted.

    Source: Xia et al. (2008), ListMLE; Plackett (1975) and Luce (1959), the model.

    Parameters
    ----------
    seed : int
        Of the order of equal targets.

    Notes
    -----
    Cost: O(M) a day, on orders that are prepared.
    """

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.seed = seed

    def tables(self, targets: Tensor, mask: Tensor) -> Tables:
        """Slots from the worst target to the best, then M in unused places."""
        width = targets.shape[1]
        shuffled = shuffled_slots(width, self.seed, targets.device)
        key = torch.where(mask, targets, torch.inf)[:, shuffled]
        order = shuffled[key.sort(dim=1, stable=True).indices]  # (B, M)
        count = mask.sum(dim=1)
        return {
            "order": as_slots(order, count, width, spare=width),
            "share": 1 / count.clamp(min=1).to(targets.dtype),
            "counted": varies(targets, mask),
        }

    def per_day(self, scores: Tensor, tables: Tables) -> tuple[Tensor, Tensor]:
        """Minus the log likelihood of each day, per name."""
        order, share = tables["order"].long(), tables["share"]
        total: Tensor = _OrderLikelihood.apply(scores, order)  # type: ignore[no-untyped-call]
        return total * share, tables["counted"]


class _OrderLikelihood(torch.autograd.Function):
    """Value and gradient together.

    With c_i the logarithm of the sum over the names up to i, worst first, the gradient
    of name j is exp(s_j + log sum over i >= j of exp(-c_i)) - 1.
    """

    @staticmethod
    def forward(ctx: Any, scores: Tensor, order: Tensor) -> Tensor:
        unused = order == scores.shape[1]
        ordered = torch.nn.functional.pad(scores, (0, 1)).gather(1, order)  # (B, M)
        below = ordered.logcumsumexp(dim=1)
        above = (-below).masked_fill(unused, -torch.inf).flip(1).logcumsumexp(dim=1)
        slopes = ((ordered + above.flip(1)).exp() - 1).masked_fill(unused, 0.0)
        gradient = scores.new_zeros(scores.shape[0], scores.shape[1] + 1)
        gradient.scatter_add_(1, order, slopes)
        ctx.save_for_backward(gradient[:, :-1])
        return (below - ordered).masked_fill(unused, 0.0).sum(dim=1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return gradient * gradients[0].unsqueeze(1), None


def shuffled_slots(width: int, seed: int, device: torch.device) -> Tensor:
    """Slots 0 ... M - 1 in a seeded order that a wider matrix only interleaves.

    Any two slots stand in the same order whatever the width. Shape (M,), int64.
    """
    # Products of int64 wrap around.
    mixed = torch.arange(width, device=device) + 1 + seed * (1 << 20)
    for factor in _FACTORS:
        mixed = mixed * factor
        mixed = mixed ^ (mixed >> 31)
    return mixed.argsort(stable=True)
