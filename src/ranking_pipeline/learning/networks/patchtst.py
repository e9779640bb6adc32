"""PatchTST: a transformer over patches of bars, shared by the channels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ranking_pipeline.learning.networks.attention import AttentionBlock
from ranking_pipeline.learning.networks.base import Dropout, NetworkSpec, score_head


class PatchEmbedding(nn.Module):
    """Cut series into overlapping patches, and map each to ``hidden`` units.

    Patches are counted from the last bar; the first patch is filled up with copies of
    the oldest bar where the length asks for it. Positions are learned.
    """

    def __init__(self, spec: NetworkSpec, length: int) -> None:
        super().__init__()
        self.size, self.stride = spec.patch_length, spec.patch_stride
        self.n_patches = 1 + -(-max(0, length - self.size) // self.stride)
        filled = self.size + self.stride * (self.n_patches - 1)
        self.padding = filled - length
        self.linear = nn.Linear(self.size, spec.hidden)
        # About as large as a projected patch: which one it is counts from the start.
        self.positions = nn.Parameter(0.5 * torch.randn(self.n_patches, spec.hidden))

    def forward(self, series: Tensor) -> Tensor:
        """(N, C, L) -> (N C, patches, hidden)."""
        filled = F.pad(series, (self.padding, 0), mode="replicate")
        patches = filled.unfold(2, self.size, self.stride)  # (N, C, patches, size)
        embedded: Tensor = self.linear(patches.flatten(0, 1)) + self.positions
        return embedded


class PatchTransformerNetwork(nn.Module):
    """The encoder of Nie et al. (2023), "A time series is worth 64 words", as a scorer.

    Channels are independent: each is a series of its own, read by the same weights.
    They meet in the head alone, which is linear in all patches of all channels, as the
    paper's flatten head. Blocks normalise layers before each part and not batches after
    it, so that a window is scored on its own. Windows come normalised already, so the
    reversible instance normalisation of the paper is left out.
    """

    def __init__(
        self, spec: NetworkSpec, length: int, channels: int, outputs: int
    ) -> None:
        super().__init__()
        self.patches = PatchEmbedding(spec, length)
        self.dropout = Dropout(spec.dropout)
        self.blocks = nn.ModuleList(AttentionBlock(spec) for _ in range(spec.layers))
        self.norm = nn.LayerNorm(spec.hidden)
        width = channels * self.patches.n_patches * spec.hidden
        self.head = score_head(width, outputs)

    def forward(self, windows: Tensor) -> Tensor:
        """(N, L, C) -> (N, K)."""
        scores: Tensor = self.head(self.encode(windows).flatten(1))
        return scores

    def encode(self, windows: Tensor) -> Tensor:
        """(N, L, C) -> (N, C, patches, hidden)."""
        series = windows.transpose(1, 2)
        tokens = self.dropout(self.patches(series))  # (N C, patches, hidden)
        for block in self.blocks:
            tokens = block(tokens, tokens)
        width = tokens.shape[2]
        read: Tensor = self.norm(tokens)
        return read.view(-1, series.shape[1], self.patches.n_patches, width)
