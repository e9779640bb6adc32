"""Pairwise losses: each winner of a day should score above each loser."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from ranking_pipeline.errors import UserError
from ranking_pipeline.learning.losses.common import masked, mean_over_days
from ranking_pipeline.learning.losses.pairs import (
    Penalty,
    all_pairs,
    sampled_pairs,
    tails,
)


def logistic(difference: Tensor) -> tuple[Tensor, Tensor]:
    """softplus(-d) and its derivative."""
    return functional.softplus(-difference), -torch.sigmoid(-difference)


def hinge(difference: Tensor) -> tuple[Tensor, Tensor]:
    """max(0, -d) and its derivative."""
    return functional.relu(-difference), -(difference < 0).to(difference.dtype)


class _Pairwise(nn.Module):
    """Mean penalty over the pairs of a day, then over days.

    Parameters
    ----------
    top_pct, bottom_pct : float in (0, 0.5]
        Share of the day's names that are winners and losers, by target. A day with
        fewer than 2 / share names is not counted.
    margin : float
        Score difference that a pair must exceed.
    max_pairs : int or None
        Pairs drawn per day; None takes all of them, exactly.
    seed : int
        Of the draw.
    """

    penalty: ClassVar[Penalty]

    def __init__(
        self,
        top_pct: float = 0.2,
        bottom_pct: float = 0.2,
        margin: float = 0.0,
        max_pairs: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        for key, share in (("top_pct", top_pct), ("bottom_pct", bottom_pct)):
            if not 0 < share <= 0.5:
                raise UserError(f"loss.{key} is {share}; use a share in (0, 0.5].")
        self.top_pct = top_pct
        self.bottom_pct = bottom_pct
        self.margin = margin
        self.max_pairs = max_pairs
        self.seed = seed
        self._generator: torch.Generator | None = None

    def forward(self, scores: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
        """Loss of scores (B, M) against targets (B, M) where ``mask`` (B, M) is set."""
        scores, targets, mask = masked(scores, targets, mask)
        pairs, counted = tails(scores, targets, mask, self.top_pct, self.bottom_pct)
        pairs = pairs._replace(winners=pairs.winners - self.margin)
        cap = self.max_pairs
        if cap is None or pairs.most <= cap:
            total, count = all_pairs(pairs, self.penalty)
        else:
            draws = self._draws(scores.device)
            total, count = sampled_pairs(pairs, self.penalty, cap, draws)
        return mean_over_days(total / count.clamp(min=1), counted & (count > 0))

    def _draws(self, device: torch.device) -> torch.Generator:
        if self._generator is None:
            self._generator = torch.Generator(device).manual_seed(self.seed)
        return self._generator


class PairwiseLogistic(_Pairwise):
    """softplus(margin - (winner - loser)).

    Source: Burges et al. (2005), RankNet, on the pairs between two tails.
    """

    penalty = staticmethod(logistic)


class PairwiseHinge(_Pairwise):
    """max(0, margin - (winner - loser)).

    Source: Herbrich, Graepel and Obermayer (1999), ranking support vector machine.
    """

    penalty = staticmethod(hinge)

    def __init__(
        self,
        top_pct: float = 0.2,
        bottom_pct: float = 0.2,
        margin: float = 1.0,
        max_pairs: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(top_pct, bottom_pct, margin, max_pairs, seed)
