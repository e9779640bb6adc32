"""A transformer encoder over the bars, read at the last bar."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ranking_pipeline.learning.networks.attention import AttentionBlock
from ranking_pipeline.learning.networks.base import Dropout, NetworkSpec, score_head


class TransformerNetwork(nn.Module):
    """A transformer encoder over the bars, read at the last bar.

    Vaswani et al. (2017), with learned positions and the normalisation before each part
    (Xiong et al., 2020). No causal mask is needed: the whole window is the past.
    """

    def __init__(
        self, spec: NetworkSpec, length: int, channels: int, outputs: int
    ) -> None:
        super().__init__()
        self.inlet = nn.Linear(channels, spec.hidden)
        # About as large as a projected bar: which bar it is counts from the first step.
        self.positions = nn.Parameter(0.5 * torch.randn(length, spec.hidden))
        self.dropout = Dropout(spec.dropout)
        self.blocks = nn.ModuleList(AttentionBlock(spec) for _ in range(spec.layers))
        self.norm = nn.LayerNorm(spec.hidden)
        self.head = score_head(spec.hidden, outputs)

    def forward(self, windows: Tensor) -> Tensor:
        """(N, L, C) -> (N, K)."""
        bars = self.dropout(self.inlet(windows) + self.positions)  # (N, L, hidden)
        *inner, last = self.blocks
        for block in inner:
            bars = block(bars, bars)
        # Only the last bar is read, so the last block updates no other bar.
        read = last(bars[:, -1:], bars)[:, 0]  # (N, hidden)
        scores: Tensor = self.head(self.norm(read))
        return scores
