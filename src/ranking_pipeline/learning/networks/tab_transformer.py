"""A transformer over factors: each factor of a row is a token."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ranking_pipeline.learning.networks.attention import AttentionBlock
from ranking_pipeline.learning.networks.base import NetworkSpec, score_head


class FactorTokens(nn.Module):
    """One token per number: its value times a direction of its own, plus a place.

    The numerical feature tokenizer of Gorishniy et al. (2021), with a summary token in
    front. An unknown number (NaN) has a token of its own instead, which is learned.
    """

    def __init__(self, width: int, n_factors: int) -> None:
        super().__init__()
        reach = width**-0.5
        self.directions = nn.Parameter(torch.empty(n_factors, width))
        self.places = nn.Parameter(torch.empty(n_factors, width))
        self.unknown = nn.Parameter(torch.empty(n_factors, width))
        self.summary = nn.Parameter(torch.empty(width))
        for part in (self.directions, self.places, self.unknown, self.summary):
            nn.init.uniform_(part, -reach, reach)

    def forward(self, rows: Tensor) -> Tensor:
        """(N, F) -> (N, 1 + F, width); the summary comes first."""
        known = rows.isfinite().unsqueeze(2)  # (N, F, 1)
        values = rows.unsqueeze(2).masked_fill(~known, 0.0)
        tokens = torch.addcmul(self.places, values, self.directions)
        tokens = torch.where(known, tokens, self.unknown)
        summary = self.summary.expand(len(rows), 1, -1)
        return torch.cat([summary, tokens], dim=1)


class FactorTransformerNetwork(nn.Module):
    """The FT-Transformer of Gorishniy et al. (2021), read at its summary token.

    "Revisiting deep learning models for tabular data". Blocks normalise before each
    part but for the first attention, as there; the feedforward part has plain rectified
    units, four times as many as the width. The last block updates the summary alone.
    """

    def __init__(
        self, spec: NetworkSpec, length: int, channels: int, outputs: int
    ) -> None:
        super().__init__()
        self.tokens = FactorTokens(spec.hidden, length * channels)
        self.blocks = nn.ModuleList(
            AttentionBlock(spec, activation=nn.ReLU) for _ in range(spec.layers)
        )
        self.blocks[0].attention_norm = nn.Identity()
        self.norm = nn.LayerNorm(spec.hidden)
        self.head = score_head(spec.hidden, outputs)

    def forward(self, windows: Tensor) -> Tensor:
        """(N, L, C) -> (N, K)."""
        tokens = self.tokens(windows.flatten(1))  # (N, 1 + L C, hidden)
        *inner, last = self.blocks
        for block in inner:
            tokens = block(tokens, tokens)
        summary = last(tokens[:, :1], tokens)[:, 0]  # (N, hidden)
        scores: Tensor = self.head(self.norm(summary).relu())
        return scores
