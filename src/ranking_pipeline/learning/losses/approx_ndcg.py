"""ApproxNDCG: discounted cumulative gain at soft positions."""

from __future__ import annotations

from torch import Tensor

from ranking_pipeline.learning.losses.base import CrossSectionLoss, Tables
from ranking_pipeline.learning.losses.common import checked_temperature
from ranking_pipeline.learning.losses.gains import discounts, gain_tables
from ranking_pipeline.learning.losses.soft_ranks import (
    soft_ranks,
    standardised,
)


class ApproxNDCG(CrossSectionLoss):
    """1 - sum of gain / log2(1 + soft position) over its ideal value.

    Gains are (rank of the target - 1) / (n - 1), in [0, 1]: returns are no graded
    relevance. Positions are soft, 1 is the best, of scores standardised within the
    day: the sigmoids keep their slope whatever the scale of the scores. A day on which
    scores or targets are all equal is not counted.

    Parameters
    ----------
    temperature : float
        Width of the sigmoids, in deviations of the day's scores. A narrow one is nearer
        to NDCG, and learns from the few names with the best scores alone.

    Notes
    -----
    Cost: M² / 2 sigmoids a day, twice. Gain and discount favour the best names; the worst
    are hardly told apart.

    Source: Qin, Liu and Li (2010); Järvelin and Kekäläinen (2002), the measure.
    """

    def __init__(self, temperature: float = 1.0) -> None:
        super().__init__()
        self.temperature = checked_temperature(temperature)

    def tables(self, targets: Tensor, mask: Tensor) -> Tables:
        """Gains divided by their ideal sum, and weights of the names."""
        return gain_tables(targets, mask)

    def per_day(self, scores: Tensor, tables: Tables) -> tuple[Tensor, Tensor]:
        """1 - approximate NDCG of each day."""
        weights = tables["weights"]
        level = standardised(scores, weights)
        position = soft_ranks(-level, weights, self.temperature)
        value = 1 - (tables["gains"] * discounts(position)).sum(dim=1)
        return value, tables["varies"] & level.detach().any(dim=1)

    def without_skill(self, zeros: Tensor, tables: Tables) -> Tensor:
        """1 - NDCG with every name at the middle position, (n + 1) / 2."""
        count = (tables["weights"] > 0).sum(dim=1)
        middle = discounts((count + 1).to(zeros.dtype) / 2)
        return 1 - tables["gains"].sum(dim=1) * middle
