"""LambdaRank on tails: pairs weigh what their swap changes in the chosen tails."""

from __future__ import annotations

import torch
from torch import Tensor

from ranking_pipeline.learning.losses.base import CrossSectionLoss, Tables
from ranking_pipeline.learning.losses.common import (
    checked_shares,
    sorted_slots,
    summed_differences,
    tail_sizes,
)
from ranking_pipeline.learning.losses.pairs import (
    Weigh,
    logistic,
    ordered_pairs,
    padded_scores,
    sum_over_pairs,
)
from ranking_pipeline.learning.ranks import tie_bounds


class LambdaRank(CrossSectionLoss):
    """log(1 + exp(loser - winner)) times the change of tails that a swap would make.

    A name belongs to the top (1), the bottom (-1) or neither (0), once by target (g)
    and once by score (m); equal targets share the mean of their memberships. Swapping
    two names in the order of the scores changes the sum of g m by
    ``|g_i - g_j| |m_i - m_j|``; this is the weight of the pair, held fixed in the
    gradient. It stands in place of the change of NDCG, whose gains suppose a graded
    relevance. The sum is divided by that of ``|g_i - g_j|`` over all pairs.

    Equal scores are taken to stand in the worst order, so that a network whose scores
    all start at 0 still learns. A day with fewer than 2 names in a tail, or with equal
    targets throughout, is not counted.

    Parameters
    ----------
    top_pct, bottom_pct : float in (0, 0.5]
        Shares of the day's names in the tails.

    Notes
    -----
    Cost: about M² / 2 penalties a day, in chunks, and a sort of the scores.

    Source: Burges, Ragno and Le (2006), LambdaRank; the weights here are our own.
    """

    def __init__(self, top_pct: float = 0.2, bottom_pct: float = 0.2) -> None:
        super().__init__()
        self.top_pct, self.bottom_pct = checked_shares(top_pct, bottom_pct)

    def tables(self, targets: Tensor, mask: Tensor) -> Tables:
        """Slots in the order of the targets, and memberships by place in it.

        ``slots`` (B, 2 M) hold every name, best first, as winner and as loser; ``gains``
        (B, M) are g in that order; ``members`` (B, M) are m by place among the scores.
        """
        count = mask.sum(dim=1, keepdim=True)
        n_top, n_bottom = (
            tail_sizes(count, self.top_pct),
            tail_sizes(count, self.bottom_pct),
        )
        below, up_to = tie_bounds(targets, mask)
        in_top = (up_to - torch.maximum(below, count - n_top)).clamp(min=0)
        in_bottom = (torch.minimum(up_to, n_bottom) - below).clamp(min=0)
        gains = (in_top - in_bottom).double() / (up_to - below).clamp(min=1)
        places = torch.arange(targets.shape[1], device=targets.device)
        used = places < count
        ordered = gains.gather(1, sorted_slots(targets, mask))
        ordered = torch.where(used, ordered, 0.0)
        total = summed_differences(ordered, count)
        members = (places < n_top).int() - (used & (places >= count - n_bottom)).int()
        enough = (torch.minimum(n_top, n_bottom) >= 2).squeeze(1) & (total > 0)
        sides = ordered_pairs(targets, mask)
        return {
            "slots": torch.cat([sides.winners, sides.losers], dim=1),
            "gains": ordered.to(targets.dtype),
            "members": members.to(torch.int8),
            "share": torch.where(enough, 1 / total, 0.0).to(targets.dtype),
        }

    def per_day(self, scores: Tensor, tables: Tables) -> tuple[Tensor, Tensor]:
        """Weighted mean penalty over the pairs of each day."""
        width = scores.shape[1]
        slots, gains, share = tables["slots"].long(), tables["gains"], tables["share"]
        losers = slots[:, width:]
        # From the worst target to the best, so that a stable sort favours the worst.
        worst_first = padded_scores(scores.detach()).gather(1, losers).flip(1)
        place = worst_first.sort(dim=1, descending=True, stable=True).indices
        by_place = tables["members"].to(scores.dtype)
        members = torch.zeros_like(by_place).scatter_(1, place, by_place).flip(1)
        total = sum_over_pairs(
            scores, slots, width, logistic, 0.0, _weigh(gains, members), True
        )
        return total * share, share > 0


def _weigh(gains: Tensor, members: Tensor) -> Weigh:
    def weigh(part: slice, other: slice) -> Tensor:
        gain = gains[:, part, None] - gains[:, None, other]  # (B, k, j)
        change = members[:, part, None] - members[:, None, other]
        return gain.clamp_(min=0).mul_(change.abs_())

    return weigh
