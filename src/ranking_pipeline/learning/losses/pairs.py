"""Pairs: which winners meet which losers, and a penalty summed over all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from ranking_pipeline.learning.losses.common import (
    as_slots,
    sorted_slots,
    tail_places,
    tail_sizes,
)

# Pairs of one batch that are taken in one chunk: fewest calls.
_PAIRS_AT_ONCE = 1 << 20
# Pairs of a chunk where there are more: what a cache holds. Memory stays flat.
_PAIRS_PER_CHUNK = 1 << 18

# Score differences e = loser - winner + margin -> (penalty, its derivative).
Penalty = Callable[[Tensor], tuple[Tensor, Tensor]]
# Places (winners, losers) -> weights (B, k, j) of the pairs they span.
Weigh = Callable[[slice, slice], Tensor]


class PairTables(NamedTuple):
    """The names of the two sides of each day's pairs; targets alone decide them.

    Attributes
    ----------
    winners, losers : Tensor of int16 or int32, shapes (B, K), (B, J)
        Slots in 0 ... M - 1. Unused places hold M and M + 1, where
        :func:`padded_scores` puts +inf and -inf: such a pair adds an exact 0.
    n_winners, n_losers : Tensor of int64, shape (B,)
        Places in use; they come first.
    """

    winners: Tensor
    losers: Tensor
    n_winners: Tensor
    n_losers: Tensor


def tail_pairs(targets: Tensor, mask: Tensor, top: float, bottom: float) -> PairTables:
    """Pick the names with the highest and the lowest targets of each day.

    The cut is by count; equal targets at the cut are taken in slot order. Where one
    target value reaches from one tail into the other, equal targets would meet: then
    the names with that value leave one of the tails, the one that keeps more pairs.

    Parameters
    ----------
    targets : Tensor, shape (B, M)
        Finite everywhere.
    mask : Tensor of bool, shape (B, M)
    top, bottom : float
        Shares of the day's names.
    """
    width = targets.shape[1]
    count = mask.sum(dim=1)
    order = sorted_slots(targets, mask)  # (B, M), best first
    n_top, n_bottom = tail_sizes(count, top), tail_sizes(count, bottom)
    places = torch.arange(width, device=targets.device)
    winners = order[:, : tail_places(width, top)]
    from_the_end = (count[:, None] - 1 - places).clamp(min=0)
    losers = order.gather(1, from_the_end[:, : tail_places(width, bottom)])

    # How many places at the end of each tail hold the value that both tails share.
    winner_targets, loser_targets = (
        targets.gather(1, winners),
        targets.gather(1, losers),
    )
    last_winner = winner_targets.gather(1, (n_top[:, None] - 1).clamp(min=0))
    last_loser = loser_targets.gather(1, (n_bottom[:, None] - 1).clamp(min=0))
    in_top = places[: winners.shape[1]] < n_top[:, None]
    in_bottom = places[: losers.shape[1]] < n_bottom[:, None]
    above = (in_top & (winner_targets > last_loser)).sum(dim=1)
    below = (in_bottom & (loser_targets < last_winner)).sum(dim=1)
    cut_top = above * n_bottom >= below * n_top
    n_top, n_bottom = (
        torch.where(cut_top, above, n_top),
        torch.where(cut_top, n_bottom, below),
    )
    return _pair_tables(winners, losers, n_top, n_bottom, width)


def ordered_pairs(targets: Tensor, mask: Tensor) -> PairTables:
    """Let every name meet every name; both sides hold all of them, best first.

    Of the pairs that this spans, those with place of the winner < place of the loser
    and a higher target are meant.
    """
    order = sorted_slots(targets, mask)  # (B, M)
    count = mask.sum(dim=1)
    return _pair_tables(order, order, count, count, targets.shape[1])


def _pair_tables(
    winners: Tensor, losers: Tensor, n_winners: Tensor, n_losers: Tensor, width: int
) -> PairTables:
    return PairTables(
        as_slots(winners, n_winners, width, spare=width),
        as_slots(losers, n_losers, width, spare=width + 1),
        n_winners,
        n_losers,
    )


def padded_scores(scores: Tensor) -> Tensor:
    """Scores (B, M) with a column of +inf and one of -inf behind them, (B, M + 2)."""
    above = functional.pad(scores, (0, 1), value=torch.inf)
    return functional.pad(above, (0, 1), value=-torch.inf)


def logistic(excess: Tensor) -> tuple[Tensor, Tensor]:
    """log(1 + exp(e)) and its derivative."""
    return functional.softplus(excess), excess.sigmoid_()


def hinge(excess: Tensor) -> tuple[Tensor, Tensor]:
    """max(0, e) and its derivative."""
    slope = (excess > 0).to(excess.dtype)
    return excess.relu_(), slope


def sum_over_pairs(
    scores: Tensor,
    slots: Tensor,
    n_winner_places: int,
    penalty: Penalty,
    margin: float = 0.0,
    weigh: Weigh | None = None,
    triangle: bool = False,
) -> Tensor:
    """Sum the penalty over all pairs of each day, exactly.

    Parameters
    ----------
    scores : Tensor, shape (B, M)
    slots : Tensor of int64, shape (B, K + J)
        Winners, then losers, as in :class:`PairTables`.
    n_winner_places : int
        K.
    penalty : callable
    margin : float
    weigh : callable, optional
        Weights of the pairs; 1 by default.
    triangle : bool
        Only pairs with place of the winner < place of the loser can weigh anything.

    Returns
    -------
    Tensor, shape (B,)

    Notes
    -----
    Cost: K J penalties a day, half of them for a triangle. Value and gradient are made
    in one pass over chunks: no K x J array survives it.
    """
    total: Tensor = _PairSum.apply(  # type: ignore[no-untyped-call]
        scores, slots, n_winner_places, penalty, margin, weigh, triangle
    )
    return total


def _winners_per_chunk(n_winners: int, pairs_per_winner: int) -> int:
    if n_winners * pairs_per_winner <= _PAIRS_AT_ONCE:
        return max(1, n_winners)
    return max(1, _PAIRS_PER_CHUNK // pairs_per_winner)


class _PairSum(torch.autograd.Function):
    """Value and gradient together."""

    @staticmethod
    def forward(
        ctx: Any,
        scores: Tensor,
        slots: Tensor,
        n_winner_places: int,
        penalty: Penalty,
        margin: float,
        weigh: Weigh | None,
        triangle: bool,
    ) -> Tensor:
        padded = padded_scores(scores)
        both = padded.gather(1, slots)  # (B, K + J)
        winners, losers = both[:, :n_winner_places], both[:, n_winner_places:]
        if margin:
            losers = losers + margin
        n_losers = losers.shape[1]
        step = _winners_per_chunk(n_winner_places, losers.numel())
        total = scores.new_zeros(len(scores))
        slopes = torch.zeros_like(both)
        for start in range(0, n_winner_places, step):
            part = slice(start, min(start + step, n_winner_places))
            other = slice(start if triangle else 0, n_losers)
            excess = losers[:, None, other] - winners[:, part, None]  # (B, k, J)
            value, slope = penalty(excess)
            if weigh is not None:
                weight = weigh(part, other)
                value, slope = value.mul_(weight), slope.mul_(weight)
            total += value.sum(dim=(1, 2))
            slopes[:, part].sub_(slope.sum(dim=2))
            slopes[:, n_winner_places:][:, other].add_(slope.sum(dim=1))
        gradient = torch.zeros_like(padded).scatter_add_(1, slots, slopes)
        ctx.save_for_backward(gradient[:, : scores.shape[1]])
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return gradient * gradients[0].unsqueeze(1), *[None] * 6
