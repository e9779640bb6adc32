"""Hidden layers over the flattened window."""

from __future__ import annotations

from torch import Tensor, nn

from ranking_pipeline.learning.networks.base import Dropout, NetworkSpec, score_head


class PerceptronNetwork(nn.Module):
    """Hidden layers of rectified units over the flattened window."""

    def __init__(
        self, spec: NetworkSpec, length: int, channels: int, outputs: int
    ) -> None:
        super().__init__()
        width, blocks = length * channels, []
        for _ in range(spec.layers):
            blocks += [
                nn.Linear(width, spec.hidden),
                nn.ReLU(),
                Dropout(spec.dropout),
            ]
            width = spec.hidden
        self.body = nn.Sequential(*blocks)
        self.head = score_head(width, outputs)

    def forward(self, windows: Tensor) -> Tensor:
        """(N, L, C) -> (N, K)."""
        scores: Tensor = self.head(self.body(windows.flatten(1)))
        return scores
