"""Pairs: the winners and losers of each day, and a penalty summed over all of them."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

# Pairs held at once by the exact sum; keeps its memory flat as the universe grows.
_PAIRS_PER_CHUNK = 1 << 22


class Penalty(Protocol):
    """A penalty of score differences d = winner - loser, with its derivative."""

    def __call__(self, difference: Tensor) -> tuple[Tensor, Tensor]:
        """Return (penalty, its derivative), both shaped like ``difference``."""


class Pairs(NamedTuple):
    """The names of the two tails of each day.

    Attributes
    ----------
    winners, losers : Tensor, shapes (B, K), (B, J)
        Scores; 0 in unused places.
    winner_targets, loser_targets : Tensor, same shapes
        -inf and +inf in unused places, so that an unused place never forms a pair.
    """

    winners: Tensor
    losers: Tensor
    winner_targets: Tensor
    loser_targets: Tensor

    @property
    def most(self) -> int:
        """The largest number of pairs that a day can have, K * J."""
        return self.winners.shape[1] * self.losers.shape[1]


def tail_sizes(count: Tensor, share: float) -> Tensor:
    """Names in a tail, floor(n * share), shape (B,)."""
    return torch.floor(count.double() * share + 1e-9).long()


def tails(
    scores: Tensor, targets: Tensor, mask: Tensor, top: float, bottom: float
) -> tuple[Pairs, Tensor]:
    """Pick the names with the highest and the lowest targets of each day.

    The cut is by count; equal targets at the cut are taken in slot order.

    Parameters
    ----------
    scores, targets : Tensor, shape (B, M)
        Finite everywhere (see :func:`masked`).
    mask : Tensor of bool, shape (B, M)
    top, bottom : float
        Shares of the day's names.

    Returns
    -------
    pairs : Pairs
    counted : Tensor of bool, shape (B,)
        Days with at least two names in each tail.
    """
    width = targets.shape[1]
    count = mask.sum(dim=1)
    places = torch.arange(width, device=targets.device)
    picked = []
    for share, sign in ((top, 1.0), (bottom, -1.0)):
        key = torch.where(mask, -sign * targets, torch.inf)
        order = key.sort(dim=1, stable=True).indices[:, : max(1, int(width * share))]
        size = tail_sizes(count, share)
        used = places[: order.shape[1]] < size.unsqueeze(1)
        picked.append(
            (
                torch.where(used, scores.gather(1, order), 0.0),
                torch.where(used, targets.gather(1, order), -sign * torch.inf),
            )
        )
    (winners, winner_targets), (losers, loser_targets) = picked
    counted = tail_sizes(count, min(top, bottom)) >= 2
    return Pairs(winners, losers, winner_targets, loser_targets), counted


def all_pairs(pairs: Pairs, penalty: Penalty) -> tuple[Tensor, Tensor]:
    """Sum of the penalty over all pairs of each day, and the number of pairs.

    Pairs of equal targets carry no order and are left out.

    Returns
    -------
    total, count : Tensor, shape (B,)
    """
    total, count = _AllPairs.apply(penalty, *pairs)  # type: ignore[no-untyped-call]
    return total, count


class _AllPairs(torch.autograd.Function):
    """Value and gradient in one pass over chunks: no K x J array survives it."""

    @staticmethod
    def forward(ctx: Any, penalty: Penalty, *tensors: Tensor) -> tuple[Tensor, Tensor]:
        winners, losers, winner_targets, loser_targets = tensors
        days, n_winners = winners.shape
        step = max(1, _PAIRS_PER_CHUNK // max(1, days * losers.shape[1]))
        total = winners.new_zeros(days)
        count = winners.new_zeros(days)
        winner_gradient = torch.empty_like(winners)
        loser_gradient = torch.zeros_like(losers)
        for start in range(0, n_winners, step):
            part = slice(start, start + step)
            difference = winners[:, part, None] - losers[:, None, :]  # (B, k, J)
            ordered = winner_targets[:, part, None] > loser_targets[:, None, :]
            value, slope = penalty(difference)
            slope = torch.where(ordered, slope, 0.0)
            total += torch.where(ordered, value, 0.0).sum(dim=(1, 2))
            count += ordered.sum(dim=(1, 2))
            winner_gradient[:, part] = slope.sum(dim=2)
            loser_gradient -= slope.sum(dim=1)
        ctx.save_for_backward(winner_gradient, loser_gradient)
        ctx.mark_non_differentiable(count)
        return total, count

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        winner_gradient, loser_gradient = ctx.saved_tensors
        scale = gradients[0].unsqueeze(1)
        return None, winner_gradient * scale, loser_gradient * scale, None, None


def sampled_pairs(
    pairs: Pairs, penalty: Penalty, n_pairs: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Give the same sums over ``n_pairs`` pairs a day, drawn with replacement."""
    draw = torch.rand(
        (2, pairs.winners.shape[0], n_pairs),
        generator=generator,
        device=pairs.winners.device,
    )
    chosen = []
    for uniform, scores, targets in (
        (draw[0], pairs.winners, pairs.winner_targets),
        (draw[1], pairs.losers, pairs.loser_targets),
    ):
        size = torch.isfinite(targets).sum(dim=1, keepdim=True)
        place = torch.minimum((uniform * size).long(), (size - 1).clamp(min=0))
        chosen.append((scores.gather(1, place), targets.gather(1, place)))
    (winner, winner_target), (loser, loser_target) = chosen
    ordered = winner_target > loser_target
    value = _Pointwise.apply(winner - loser, penalty)  # type: ignore[no-untyped-call]
    return torch.where(ordered, value, 0.0).sum(dim=1), ordered.sum(dim=1)


class _Pointwise(torch.autograd.Function):
    """A penalty with its own derivative, elementwise."""

    @staticmethod
    def forward(ctx: Any, difference: Tensor, penalty: Penalty) -> Tensor:
        value, slope = penalty(difference)
        ctx.save_for_backward(slope)
        return value

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (slope,) = ctx.saved_tensors
        return gradients[0] * slope, None
