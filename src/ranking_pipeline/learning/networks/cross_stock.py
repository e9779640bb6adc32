"""Cross-stock attention: the names of a bar exchange views through market tokens."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ranking_pipeline.learning.layout import Layout
from ranking_pipeline.learning.networks.attention import AttentionBlock
from ranking_pipeline.learning.networks.base import (
    CrossStockNetwork,
    Dropout,
    NetworkSpec,
    score_head,
)
from ranking_pipeline.learning.networks.recurrent import recurrent_layers


class MarketExchange(nn.Module):
    """One round: tokens read the names of their bar, the names read the tokens.

    The induced set attention block of Lee et al. (2019), "Set Transformer", with the
    normalisation before each part. Work grows with the number of names, not with its
    square.
    """

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.tokens = nn.Parameter(torch.randn(spec.market_tokens, spec.hidden))
        self.gather = AttentionBlock(spec)
        self.hand_back = AttentionBlock(spec)

    def forward(self, names: Tensor, visible: Tensor) -> Tensor:
        """Names (B, S, H), of which those in visible (B, 1, 1, S) are read."""
        tokens = self.tokens.expand(len(names), -1, -1)  # (B, tokens, H)
        market = self.gather(tokens, names, visible)
        updated: Tensor = self.hand_back(names, market)
        return updated


class MarketTokenNetwork(CrossStockNetwork):
    """A recurrent view of each window, then rounds of exchange within each bar.

    Windows are encoded for the cells alone; only the exchange sees the padded matrix of
    bars and symbols. Nothing in it asks the device for a value.
    """

    def __init__(
        self, spec: NetworkSpec, length: int, channels: int, outputs: int
    ) -> None:
        super().__init__()
        self.encoder = recurrent_layers(nn.GRU, spec, channels, 1)
        self.dropout = Dropout(spec.dropout)
        self.rounds = nn.ModuleList(MarketExchange(spec) for _ in range(spec.layers))
        self.norm = nn.LayerNorm(spec.hidden)
        self.head = score_head(spec.hidden, outputs)

    def forward(self, windows: Tensor, layout: Layout) -> Tensor:
        """(N, L, C) -> (N, K)."""
        states, _ = self.encoder(windows)  # (N, L, hidden)
        names = layout.spread(self.dropout(states[:, -1]))  # (B, S, hidden)
        # A bar without names shows its zeros: a softmax over nothing is undefined.
        visible = layout.mask | ~layout.mask.any(dim=1, keepdim=True)  # (B, S)
        for exchange in self.rounds:
            names = exchange(names, visible[:, None, None])
        scores: Tensor = self.head(self.norm(layout.collect(names)))
        return scores
