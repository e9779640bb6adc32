"""The stock transformer of the candidate pipeline: attention without norms, pooled."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ranking_pipeline.learning.networks.attention import AttentionBlock
from ranking_pipeline.learning.networks.base import NetworkSpec, score_head


class StockTransformerNetwork(nn.Module):
    """Feature attention, then prediction attention, then the mean over the bars.

    Bars are mapped linearly to ``hidden`` units and get learned positions. Feature
    layers are the part that other tasks could share; prediction layers belong to the
    score. Both are attention and a feedforward part of four times the width, each added
    to its input, without normalisation. The original has 128 units, 4 heads, one layer
    of each kind, dropout 0.1 and windows of 32 bars with 25 channels.

    A bar that lacks a channel (NaN) is missing: no bar looks at it and the mean leaves
    it out, so that its other numbers change nothing. A window needs one bar that is
    there.
    """

    def __init__(
        self, spec: NetworkSpec, length: int, channels: int, outputs: int
    ) -> None:
        super().__init__()
        self.inlet = nn.Linear(channels, spec.hidden)
        self.positions = nn.Parameter(torch.randn(length, spec.hidden))
        self.feature_attention = _blocks(spec, spec.layers)
        self.prediction_attention = _blocks(spec, spec.prediction_layers or spec.layers)
        self.head = score_head(spec.hidden, outputs)

    def forward(self, windows: Tensor) -> Tensor:
        """(N, L, C) -> (N, K)."""
        there = torch.isfinite(windows).all(dim=2)  # (N, L)
        known = torch.where(there.unsqueeze(2), windows, 0.0)
        bars = self.inlet(known) + self.positions  # (N, L, hidden)
        for block in (*self.feature_attention, *self.prediction_attention):
            bars = block(bars, bars, there[:, None, None])
        total = torch.where(there.unsqueeze(2), bars, 0.0).sum(dim=1)  # (N, hidden)
        scores: Tensor = self.head(total / there.sum(dim=1, keepdim=True))
        return scores


def _blocks(spec: NetworkSpec, layers: int) -> nn.ModuleList:
    return nn.ModuleList(
        AttentionBlock(spec, normalise=False, activation=nn.ReLU) for _ in range(layers)
    )
