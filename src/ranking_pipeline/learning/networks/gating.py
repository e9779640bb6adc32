"""Gated residual networks: parts that a network can learn to switch off."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from ranking_pipeline.learning.networks.base import Dropout


class GatedAdd(nn.Module):
    """norm(skip + gate(update)), where the gate is a gated linear unit.

    Sources: Dauphin et al. (2017) for the unit, Lim et al. (2021) for the whole.
    """

    def __init__(self, width: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.dropout = Dropout(dropout)
        self.gate = nn.Linear(width, 2 * outputs)
        self.norm = nn.LayerNorm(outputs)

    def forward(self, update: Tensor, skip: Tensor) -> Tensor:
        """Add update (..., width) to skip (..., outputs) as far as the gate opens."""
        opened = F.glu(self.gate(self.dropout(update)), dim=-1)
        added: Tensor = self.norm(skip + opened)
        return added


class GatedResidual(nn.Module):
    """The gated residual network of Lim et al. (2021), equations 2 to 5.

    Two dense layers with an exponential linear unit between them, gated and added to
    the input. Where the widths differ the input is mapped linearly first.
    """

    def __init__(self, inputs: int, width: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.skip = nn.Linear(inputs, outputs) if inputs != outputs else nn.Identity()
        self.dense = nn.Sequential(
            nn.Linear(inputs, width), nn.ELU(), nn.Linear(width, width)
        )
        self.add = GatedAdd(width, outputs, dropout)

    def forward(self, values: Tensor) -> Tensor:
        """(..., inputs) -> (..., outputs)."""
        updated: Tensor = self.add(self.dense(values), self.skip(values))
        return updated
