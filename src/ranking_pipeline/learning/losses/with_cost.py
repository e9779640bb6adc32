"""A loss of the first outputs of a network, and a cost of the others."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor

from ranking_pipeline.learning.losses.base import CrossSectionLoss, Tables


class LossWithCost(CrossSectionLoss):
    """A loss of the prediction, plus a cost of what a network gives beside it.

    For networks that give more in training than the prediction: validation judges the
    prediction alone, by the loss that is wrapped here.

    Parameters
    ----------
    main : CrossSectionLoss
        Judges the prediction.
    outputs : int
        Columns K of the prediction; what comes behind them has a cost.
    """

    def __init__(self, main: CrossSectionLoss, outputs: int) -> None:
        super().__init__()
        self.main = main
        self.outputs = outputs

    def tables(self, targets: Tensor, mask: Tensor) -> Tables:
        """Tables of the main loss and of the cost."""
        return self.weighted_tables(targets, mask, None)

    def weighted_tables(
        self, targets: Tensor, mask: Tensor, weights: Tensor | None
    ) -> Tables:
        """Tables of the main loss and of the cost, for cells that do not count alike."""
        told = self.main.weighted_tables(targets, mask, weights)
        cells = mask.to(targets.dtype) if weights is None else weights * mask
        count = mask.sum(dim=1, keepdim=True).clamp(min=1)
        return dict(told) | self.cost_tables(cells, count)

    def per_day(self, scores: Tensor, tables: Tables) -> tuple[Tensor, Tensor]:
        """Judge scores (B, M, K + more) of a network in training."""
        predicted = scores[..., : self.outputs]
        if self.outputs == 1:
            predicted = predicted.squeeze(-1)
        value, counted = self.main.weighted_per_day(predicted, tables)
        return value + self.cost(scores[..., self.outputs :], tables), counted

    def weighted_per_day(self, scores: Tensor, tables: Tables) -> tuple[Tensor, Tensor]:
        """Give :meth:`per_day`: both of its parts have weighed their cells already."""
        return self.per_day(scores, tables)

    @abstractmethod
    def cost_tables(self, cells: Tensor, count: Tensor) -> Tables:
        """Prepare the cost.

        Parameters
        ----------
        cells : Tensor, shape (B, M)
            What each cell counts for; 0 outside the mask.
        count : Tensor, shape (B, 1)
            Names of each day, at least 1.
        """

    @abstractmethod
    def cost(self, others: Tensor, tables: Tables) -> Tensor:
        """Cost of the other outputs (B, M, more) of each day, shape (B,)."""
