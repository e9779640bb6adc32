"""Pairwise losses: each winner of a day should score above each loser."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from ranking_pipeline.errors import UserError
from ranking_pipeline.learning.losses.base import CrossSectionLoss, Tables
from ranking_pipeline.learning.losses.common import (
    checked_shares,
    summed_differences,
    tail_places,
    tail_sizes,
)
from ranking_pipeline.learning.losses.draws import SeededDraws, sum_over_draws
from ranking_pipeline.learning.losses.pairs import (
    PairTables,
    Weigh,
    hinge,
    logistic,
    ordered_pairs,
    sum_over_pairs,
    tail_pairs,
)
from ranking_pipeline.learning.ranks import tie_bounds

PAIRS = ("tails", "all")
WEIGHTINGS = ("none", "difference")


class _Pairwise(SeededDraws, CrossSectionLoss):
    """Mean penalty over the pairs of a day, then over days.

    Parameters
    ----------
    top_pct, bottom_pct : float in (0, 0.5]
        Share of the day's names that are winners and losers, by target. A day with
        fewer than 2 / share names is not counted. Unused with ``pairs="all"``.
    margin : float
        Score difference that a pair must exceed.
    max_pairs : int or None
        Pairs drawn per day, with replacement; None takes all of them, exactly.
    seed : int
        Of the draw.
    pairs : str
        ``tails``: top against bottom names; ``all``: every two names whose targets
        differ.
    weighting : str
        ``none``: pairs weigh the same; ``difference``: by their difference of targets.
    """

    @staticmethod
    @abstractmethod
    def penalty(excess: Tensor) -> tuple[Tensor, Tensor]:
        """Penalty of loser - winner + margin, and its derivative."""

    def __init__(
        self,
        top_pct: float = 0.2,
        bottom_pct: float = 0.2,
        margin: float = 0.0,
        max_pairs: int | None = None,
        seed: int = 0,
        pairs: str = "tails",
        weighting: str = "none",
    ) -> None:
        super().__init__(seed)
        self.top_pct, self.bottom_pct = checked_shares(top_pct, bottom_pct)
        for key, value, known in (
            ("pairs", pairs, PAIRS),
            ("weighting", weighting, WEIGHTINGS),
        ):
            if value not in known:
                raise UserError(
                    f"loss.{key} is {value!r}; use one of {', '.join(known)}."
                )
        if max_pairs is not None and max_pairs < 1:
            raise UserError(f"loss.max_pairs is {max_pairs}; use at least 1, or null.")
        self.margin = float(margin)
        self.max_pairs = max_pairs
        self.pairs = pairs
        self.weighting = weighting

    @property
    def _weighs(self) -> bool:
        return self.pairs == "all" or self.weighting == "difference"

    def tables(self, targets: Tensor, mask: Tensor) -> Tables:
        """Slots of winners and losers, and what a day's sum is divided by.

        ``share`` (B,) is 1 / the summed weights of the pairs, 0 on a day that is not
        counted; ``levels`` (B, K + J) are targets, where weights depend on them;
        ``sizes`` (B, 2) are the names in use, where pairs are drawn.
        """
        count = mask.sum(dim=1)
        if self.pairs == "tails":
            sides = tail_pairs(targets, mask, self.top_pct, self.bottom_pct)
            least = tail_sizes(count, min(self.top_pct, self.bottom_pct))
        else:
            sides, least = ordered_pairs(targets, mask), count
        slots = torch.cat([sides.winners, sides.losers], dim=1)
        inside = slots < targets.shape[1]
        levels = targets.gather(1, torch.where(inside, slots, 0).long())
        levels = torch.where(inside, levels, 0.0)  # (B, K + J)
        total = self._total_weight(sides, levels, targets, mask)
        share = torch.where((least >= 2) & (total > 0), 1 / total, 0.0)
        tables = {"slots": slots, "share": share.to(targets.dtype)}
        if self._weighs:
            tables["levels"] = levels
        if self.max_pairs is not None:
            tables["sizes"] = torch.stack([sides.n_winners, sides.n_losers], dim=1)
        return tables

    def per_day(self, scores: Tensor, tables: Tables) -> tuple[Tensor, Tensor]:
        """Mean penalty over the pairs of each day."""
        slots, share = tables["slots"].long(), tables["share"]
        n_winners = self._winner_places(scores.shape[1])
        triangle = self.pairs == "all"
        cap = self.max_pairs
        if cap is None or n_winners * (slots.shape[1] - n_winners) <= cap:
            weigh = self._weigh(tables["levels"], n_winners) if self._weighs else None
            total = sum_over_pairs(
                scores, slots, n_winners, self.penalty, self.margin, weigh, triangle
            )
            return total * share, share > 0
        draws = self.draws((2, len(scores), cap), scores.device)
        places = drawn_places(draws, tables["sizes"], n_winners, triangle)
        weight = None
        if self._weighs:
            level = tables["levels"].gather(1, places)
            weight = self._weight(level[:, :cap], level[:, cap:])
        total = sum_over_draws(
            scores, slots.gather(1, places), self.penalty, self.margin, weight
        )
        # Of a triangle's pairs each is drawn in two ways.
        drawn = cap * (2 if triangle else 1)
        return total * (share * tables["sizes"].prod(dim=1) / drawn), share > 0

    def without_skill(self, zeros: Tensor, tables: Tables) -> Tensor:
        """Penalty of the margin, which every pair of equal scores has.

        Nothing is drawn for it: the draws of a training do not depend on it.
        """
        return self.penalty(torch.full_like(tables["share"], self.margin))[0]

    def _winner_places(self, width: int) -> int:
        return width if self.pairs == "all" else tail_places(width, self.top_pct)

    def _weight(self, winner_levels: Tensor, loser_levels: Tensor) -> Tensor:
        difference = winner_levels - loser_levels
        if self.weighting == "difference":
            return difference.clamp_(min=0)
        return (difference > 0).to(difference.dtype)

    def _weigh(self, levels: Tensor, n_winners: int) -> Weigh:
        winners, losers = levels[:, :n_winners, None], levels[:, None, n_winners:]
        return lambda part, other: self._weight(winners[:, part], losers[:, :, other])

    def _total_weight(
        self, sides: PairTables, levels: Tensor, targets: Tensor, mask: Tensor
    ) -> Tensor:
        """Summed weights of each day's pairs, float64, shape (B,)."""
        n_winners, n_losers = sides.n_winners, sides.n_losers
        places = sides.winners.shape[1]
        winners, losers = levels[:, :places].double(), levels[:, places:].double()
        if self.pairs == "tails" and self.weighting == "none":
            return (n_winners * n_losers).double()
        if self.pairs == "tails":
            return n_losers * winners.sum(dim=1) - n_winners * losers.sum(dim=1)
        if self.weighting == "difference":
            return summed_differences(winners, n_winners.unsqueeze(1))
        below, up_to = tie_bounds(targets, mask)
        tied = torch.where(mask, up_to - below, 0).sum(dim=1)
        return (n_winners.square() - tied).double() / 2


def drawn_places(
    draws: Tensor, sizes: Tensor, n_winner_places: int, triangle: bool
) -> Tensor:
    """Turn uniform draws (2, B, P) into places (B, 2 P) of winners and losers.

    For a triangle the name with the better target is the winner.
    """
    winner, loser = (draws * sizes.t().unsqueeze(2)).long()  # (B, P) each
    if triangle:
        winner, loser = torch.minimum(winner, loser), torch.maximum(winner, loser)
    return torch.cat([winner, loser + n_winner_places], dim=1)


class PairwiseLogistic(_Pairwise):
    """log(1 + exp(margin - (winner - loser))).

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
        pairs: str = "tails",
        weighting: str = "none",
    ) -> None:
        super().__init__(top_pct, bottom_pct, margin, max_pairs, seed, pairs, weighting)
