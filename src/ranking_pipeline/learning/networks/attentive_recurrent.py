"""An attentive LSTM: the last state beside a weighted mean of all states."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ranking_pipeline.learning.networks.base import Dropout, NetworkSpec, score_head
from ranking_pipeline.learning.networks.recurrent import recurrent_layers


class AttentiveRecurrentNetwork(nn.Module):
    """An LSTM whose states are weighted by their use and joined to the last one.

    The network of Feng et al. (2019), "Enhancing stock movement prediction with
    adversarial training", without the adversarial part: a mapping layer with tanh, an
    LSTM, weights softmax_t(u' tanh(W h_t + b)) over the bars, and a linear score of
    (sum_t weight_t h_t, h_L). Attention over the states of the past comes from Qin et
    al. (2017), whose encoder attends to the input series too and whose decoder asks
    anew at each step; neither is needed for one score per window.
    """

    def __init__(
        self, spec: NetworkSpec, length: int, channels: int, outputs: int
    ) -> None:
        super().__init__()
        self.inlet = nn.Linear(channels, spec.hidden)
        self.body = recurrent_layers(nn.LSTM, spec, spec.hidden, spec.layers)
        self.relevance = nn.Sequential(
            nn.Linear(spec.hidden, spec.hidden),
            nn.Tanh(),
            nn.Linear(spec.hidden, 1, bias=False),
        )
        self.dropout = Dropout(spec.dropout)
        self.head = score_head(2 * spec.hidden, outputs)

    def forward(self, windows: Tensor) -> Tensor:
        """(N, L, C) -> (N, K)."""
        states, _ = self.body(torch.tanh(self.inlet(windows)))  # (N, L, hidden)
        weights = self.relevance(states).softmax(dim=1)  # (N, L, 1)
        summary = (weights * states).sum(dim=1)  # (N, hidden)
        both = torch.cat([summary, states[:, -1]], dim=1)  # (N, 2 hidden)
        scores: Tensor = self.head(self.dropout(both))
        return scores
