"""A linear map of the flattened window."""

from __future__ import annotations

from torch import Tensor, nn

from ranking_pipeline.learning.networks.base import NetworkSpec, score_head


class LinearNetwork(nn.Module):
    """A linear map of the flattened window."""

    def __init__(
        self, spec: NetworkSpec, length: int, channels: int, outputs: int
    ) -> None:
        super().__init__()
        self.head = score_head(length * channels, outputs)

    def forward(self, windows: Tensor) -> Tensor:
        """(N, L, C) -> (N, K)."""
        scores: Tensor = self.head(windows.flatten(1))
        return scores
