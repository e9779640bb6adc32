"""Several heads: one shared encoder that tells several targets at once.

References
----------
Caruana (1997), multitask learning.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ranking_pipeline.learning.losses.base import CrossSectionLoss, Tables
from ranking_pipeline.learning.losses.with_cost import LossWithCost
from ranking_pipeline.learning.networks.base import NetworkSpec
from ranking_pipeline.learning.networks.perceptron import PerceptronNetwork


class SeveralHeadsNetwork(nn.Module):
    """Hidden layers that all targets share, and one linear head for each.

    In training it gives (N, K + H): the main target's K outputs and one number for
    each of H helpers. Otherwise it gives the main target alone, (N, K).

    Parameters
    ----------
    helpers : int
        H.
    """

    def __init__(
        self,
        spec: NetworkSpec,
        length: int,
        channels: int,
        outputs: int,
        *,
        helpers: int,
    ) -> None:
        super().__init__()
        self.outputs = outputs
        # Heads side by side are one layer: its columns share nothing but their input.
        self.heads = PerceptronNetwork(spec, length, channels, outputs + helpers)

    def forward(self, windows: Tensor) -> Tensor:
        """(N, L, C) -> (N, K), and (N, K + H) in training."""
        told: Tensor = self.heads(windows)
        return told if self.training else told[:, : self.outputs]

    def helpers(self, windows: Tensor) -> Tensor:
        """(N, L, C) -> (N, H): what the helpers' heads tell."""
        told: Tensor = self.heads(windows)
        return told[:, self.outputs :]


class SeveralTargets(LossWithCost):
    """A loss of the main target, and Huber's of the helpers.

    A helper's loss is a mean over the names of a day that know it; a day without any
    adds nothing. The helpers count equally.

    Parameters
    ----------
    main : CrossSectionLoss
        Judges the main target.
    outputs : int
        Columns K of the main target.
    helpers : Tensor, shape (n_bars, S, H)
        Their targets in units of their deviation, for all bars of the training block;
        NaN where unknown.
    share : float
        Weight of the mean over the helpers beside the main target's 1.
    """

    def __init__(
        self, main: CrossSectionLoss, outputs: int, helpers: Tensor, share: float
    ) -> None:
        super().__init__(main, outputs)
        self._known = helpers.isfinite()
        self._helpers = torch.where(self._known, helpers, 0.0)
        self._share = share

    def cost_tables(self, cells: Tensor, count: Tensor) -> Tables:
        """Targets of the helpers, and weights of their means over the day."""
        inside = self._known & (cells > 0).unsqueeze(2)
        known = inside.sum(dim=1, keepdim=True).clamp(min=1)
        weights = torch.where(inside, cells.unsqueeze(2), 0.0) / known
        return {"helpers": self._helpers, "helpers.weights": weights}

    def cost(self, others: Tensor, tables: Tables) -> Tensor:
        """Error of the helpers' scores (B, S, H)."""
        errors = functional.huber_loss(others, tables["helpers"], reduction="none")
        helped = (errors * tables["helpers.weights"]).sum(dim=1).mean(dim=1)  # (B,)
        return self._share * helped
