"""The temporal fusion transformer: chosen channels, recurrence, readable attention."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ranking_pipeline.errors import UserError
from ranking_pipeline.learning.networks.base import NetworkSpec, score_head
from ranking_pipeline.learning.networks.gating import GatedAdd, GatedResidual
from ranking_pipeline.learning.networks.recurrent import recurrent_layers


class VariableSelection(nn.Module):
    """Embed each channel, and mix the embeddings by weights that depend on the bar.

    Weights are a softmax over the channels (Lim et al., 2021, equations 6 to 8): they
    say which channel was read.
    """

    def __init__(self, spec: NetworkSpec, channels: int) -> None:
        super().__init__()
        width = spec.hidden
        self.directions = nn.Parameter(torch.randn(channels, width))
        self.places = nn.Parameter(torch.zeros(channels, width))
        self.weighing = GatedResidual(channels * width, width, channels, spec.dropout)
        self.readings = nn.ModuleList(
            GatedResidual(width, width, width, spec.dropout) for _ in range(channels)
        )

    def forward(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        """(N, L, C) -> mixed (N, L, hidden), weights (N, L, C)."""
        embedded = torch.addcmul(self.places, windows.unsqueeze(3), self.directions)
        weights = self.weighing(embedded.flatten(2)).softmax(dim=2)  # (N, L, C)
        readings = zip(self.readings, embedded.unbind(2), strict=True)
        read = torch.stack([part(channel) for part, channel in readings], dim=2)
        mixed = (weights.unsqueeze(3) * read).sum(dim=2)  # (N, L, hidden)
        return mixed, weights


class InterpretableAttention(nn.Module):
    """Attention whose heads share their values, so that their weights can be averaged.

    Source: Lim et al. (2021), equations 13 to 16.
    """

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        if spec.hidden % spec.heads:
            raise UserError(
                f"network.hidden is {spec.hidden}, which network.heads "
                f"({spec.heads}) does not divide; change one of them."
            )
        width = spec.hidden // spec.heads
        self.heads, self.scale = spec.heads, width**-0.5
        self.query = nn.Linear(spec.hidden, spec.hidden)
        self.key = nn.Linear(spec.hidden, spec.hidden)
        self.value = nn.Linear(spec.hidden, width)
        self.output = nn.Linear(width, spec.hidden, bias=False)

    def forward(self, readers: Tensor, sources: Tensor) -> tuple[Tensor, Tensor]:
        """Readers (N, Q, H) and sources (N, P, H) -> (N, Q, H), weights (N, Q, P)."""
        queries, keys = self._split(self.query(readers)), self._split(self.key(sources))
        logits = (queries * self.scale) @ keys.transpose(2, 3)  # (N, heads, Q, P)
        weights = logits.softmax(dim=3).mean(dim=1)
        seen: Tensor = self.output(weights.to(logits.dtype) @ self.value(sources))
        return seen, weights

    def _split(self, rows: Tensor) -> Tensor:
        n_rows, width = rows.shape[1:]
        return rows.view(-1, n_rows, self.heads, width // self.heads).transpose(1, 2)


class FusionNetwork(nn.Module):
    """The encoder of Lim et al. (2021), "Temporal fusion transformers", read last.

    Channels are selected bar by bar, an LSTM reads the bars, and the last bar attends
    to all of them; every part is gated. There are no static and no known future inputs,
    so the contexts of the paper and its decoder are left out, and the score takes the
    place of the quantiles.
    """

    def __init__(
        self, spec: NetworkSpec, length: int, channels: int, outputs: int
    ) -> None:
        super().__init__()
        width, dropout = spec.hidden, spec.dropout
        self.selection = VariableSelection(spec, channels)
        self.recurrent = recurrent_layers(nn.LSTM, spec, width, spec.layers)
        self.after_recurrent = GatedAdd(width, width, dropout)
        self.enrichment = GatedResidual(width, width, width, dropout)
        self.attention = InterpretableAttention(spec)
        self.after_attention = GatedAdd(width, width, dropout)
        self.feedforward = GatedResidual(width, width, width, dropout)
        self.after_all = GatedAdd(width, width, dropout)
        self.head = score_head(width, outputs)

    def forward(self, windows: Tensor) -> Tensor:
        """(N, L, C) -> (N, K)."""
        chosen, _ = self.selection(windows)  # (N, L, hidden)
        states, _ = self.recurrent(chosen)
        bars = self.after_recurrent(states, chosen)
        enriched = self.enrichment(bars)
        last = enriched[:, -1:]  # (N, 1, hidden)
        seen, _ = self.attention(last, enriched)
        thought = self.feedforward(self.after_attention(seen, last))
        read = self.after_all(thought, bars[:, -1:])[:, 0]  # (N, hidden)
        scores: Tensor = self.head(read)
        return scores
