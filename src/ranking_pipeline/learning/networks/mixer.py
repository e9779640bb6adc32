"""A mixer: perceptrons over the bars and over the channels in turn."""

from __future__ import annotations

from torch import Tensor, nn

from ranking_pipeline.learning.networks.base import Dropout, NetworkSpec, score_head


class MixerBlock(nn.Module):
    """Mix the bars of each unit, then the units of each bar (Tolstikhin et al., 2021).

    The hidden layer over the bars has half as many units as the block is wide, the one
    over the units four times as many, as in the paper.
    """

    def __init__(self, spec: NetworkSpec, length: int) -> None:
        super().__init__()
        width = spec.hidden
        self.bar_norm = nn.LayerNorm(width)
        self.bar_mixing = _perceptron(length, max(1, width // 2), spec.dropout)
        self.unit_norm = nn.LayerNorm(width)
        self.unit_mixing = _perceptron(width, 4 * width, spec.dropout)

    def forward(self, bars: Tensor) -> Tensor:
        """(N, L, H) -> (N, L, H)."""
        units = self.bar_norm(bars).transpose(1, 2)  # (N, H, L)
        bars = bars + self.bar_mixing(units).transpose(1, 2)
        mixed: Tensor = bars + self.unit_mixing(self.unit_norm(bars))
        return mixed


class MixerNetwork(nn.Module):
    """Mixer blocks over the window, averaged over the bars."""

    def __init__(
        self, spec: NetworkSpec, length: int, channels: int, outputs: int
    ) -> None:
        super().__init__()
        self.inlet = nn.Linear(channels, spec.hidden)
        self.blocks = nn.Sequential(
            *(MixerBlock(spec, length) for _ in range(spec.layers))
        )
        self.norm = nn.LayerNorm(spec.hidden)
        self.head = score_head(spec.hidden, outputs)

    def forward(self, windows: Tensor) -> Tensor:
        """(N, L, C) -> (N, K)."""
        bars = self.norm(self.blocks(self.inlet(windows)))  # (N, L, hidden)
        scores: Tensor = self.head(bars.mean(dim=1))
        return scores


def _perceptron(width: int, hidden: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(width, hidden),
        nn.GELU(),
        nn.Linear(hidden, width),
        Dropout(dropout),
    )
