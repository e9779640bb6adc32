"""Attention blocks: some rows read others, then think about what they read."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from ranking_pipeline.errors import UserError
from ranking_pipeline.learning.networks.base import Dropout, NetworkSpec

# Width of the feedforward part over the width of the block (Vaswani et al., 2017).
EXPANSION = 4


class Attention(nn.Module):
    """Multi-head scaled dot-product attention (Vaswani et al., 2017).

    Parameters
    ----------
    spec : NetworkSpec
        Its ``hidden`` is the width H, its ``heads`` must divide it.

    Raises
    ------
    UserError
        When the heads do not divide the width.
    """

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        if spec.hidden % spec.heads:
            raise UserError(
                f"network.hidden is {spec.hidden}, which network.heads "
                f"({spec.heads}) does not divide; change one of them."
            )
        self.heads = spec.heads
        self.query = nn.Linear(spec.hidden, spec.hidden)
        self.key = nn.Linear(spec.hidden, spec.hidden)
        self.value = nn.Linear(spec.hidden, spec.hidden)
        self.output = nn.Linear(spec.hidden, spec.hidden)

    def forward(
        self, readers: Tensor, sources: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """Readers (N, Q, H) look at sources (N, P, H); the result is (N, Q, H).

        ``mask`` is of bool and broadcasts to (N, heads, Q, P); it is set where a reader
        may look, and every reader may look somewhere.
        """
        mixed = F.scaled_dot_product_attention(
            self._split(self.query(readers)),
            self._split(self.key(sources)),
            self._split(self.value(sources)),
            attn_mask=mask,
        )  # (N, heads, Q, H / heads)
        output: Tensor = self.output(mixed.transpose(1, 2).flatten(2))  # (N, Q, H)
        return output

    def _split(self, rows: Tensor) -> Tensor:
        n_rows, width = rows.shape[1:]
        parts = rows.view(-1, n_rows, self.heads, width // self.heads)
        return parts.transpose(1, 2)  # (N, heads, Q, H / heads)


class AttentionBlock(nn.Module):
    """Attention and a feedforward part, each added to what was there before.

    Dropout acts on what is added, not on the attention weights: the fused kernels then
    stay in use, and no matrix of weights is stored.

    Parameters
    ----------
    spec : NetworkSpec
    normalise : bool
        Normalise what enters each part (pre-norm; Xiong et al., 2020).
    activation : class of nn.Module
        Of the feedforward part.
    """

    def __init__(
        self,
        spec: NetworkSpec,
        *,
        normalise: bool = True,
        activation: type[nn.Module] = nn.GELU,
    ) -> None:
        super().__init__()
        width = spec.hidden
        self.attention_norm = nn.LayerNorm(width) if normalise else nn.Identity()
        self.attention = Attention(spec)
        self.feedforward = nn.Sequential(
            nn.LayerNorm(width) if normalise else nn.Identity(),
            nn.Linear(width, EXPANSION * width),
            activation(),
            nn.Linear(EXPANSION * width, width),
        )
        self.dropout = Dropout(spec.dropout)

    def forward(
        self, readers: Tensor, sources: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """Update readers (N, Q, H) by what they see in sources (N, P, H).

        Self-attention is ``block(rows, rows)``.
        """
        shown = self.attention_norm(sources)
        asking = shown if readers is sources else self.attention_norm(readers)
        readers = readers + self.dropout(self.attention(asking, shown, mask))
        updated: Tensor = readers + self.dropout(self.feedforward(readers))
        return updated
