"""Information-coefficient loss: one minus the correlation of scores and targets."""

from __future__ import annotations

from torch import Tensor

from ranking_pipeline.learning.losses.base import CrossSectionLoss, Tables
from ranking_pipeline.learning.losses.common import mean_weights, unit_rows, varies


class InformationCoefficient(CrossSectionLoss):
    """1 - Pearson correlation of each day, averaged over days.

    On rank targets this is the differentiable half of the Spearman correlation. A day
    on which scores or targets are all equal has no correlation and is not counted. The
    loss is free of the scale of the scores, so its gradient falls as they grow, and it
    is flat where scores are exactly minus a multiple of the targets.

    Source: Pearson (1895), product-moment correlation.
    """

    def tables(self, targets: Tensor, mask: Tensor) -> Tables:
        """Targets of each day, centred and of length one, and whether they vary."""
        weights = mean_weights(mask, targets.dtype)
        return {
            "weights": weights,
            "unit": unit_rows(targets, weights),
            "varies": varies(targets, mask),
        }

    def per_day(self, scores: Tensor, tables: Tables) -> tuple[Tensor, Tensor]:
        """1 - correlation of each day."""
        own = unit_rows(scores, tables["weights"])
        value = 1 - (own * tables["unit"]).sum(dim=1)
        return value, tables["varies"] & own.detach().any(dim=1)
