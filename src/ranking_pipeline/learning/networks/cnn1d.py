"""A one-dimensional CNN: padded convolutions and pooling, as images are read."""

from __future__ import annotations

from torch import Tensor, nn

from ranking_pipeline.errors import UserError
from ranking_pipeline.learning.networks.base import Dropout, NetworkSpec, score_head

# Widths of the stages over ``hidden``; later stages keep the last one.
_GROWTH = (1, 2)


class PooledConvolutionNetwork(nn.Module):
    """Stages of convolution, normalisation, rectifier and pooling; a linear score.

    The shape of LeNet (LeCun et al., 1998) along time: a stage sees half as many places
    as the one before it, the second and later ones twice as many channels as the first.
    It differs from the tcn in that convolutions are padded and not causal (the whole
    window is the past), that pooling keeps the strongest answer of two neighbours, and
    that the score reads all places that are left. Normalisation is over the channels of
    one window (Wu and He, 2018, with one group): a window is scored on its own.
    """

    def __init__(
        self, spec: NetworkSpec, length: int, channels: int, outputs: int
    ) -> None:
        super().__init__()
        if spec.kernel_size % 2 == 0:
            raise UserError(
                f"network.kernel_size is {spec.kernel_size}; a cnn1d needs an odd one."
            )
        stages, width = [], channels
        for stage in range(spec.layers):
            wider = spec.hidden * _GROWTH[min(stage, len(_GROWTH) - 1)]
            stages.append(_stage(spec, width, wider))
            width, length = wider, -(-length // 2)
        self.stages = nn.Sequential(*stages)
        self.head = score_head(width * length, outputs)

    def forward(self, windows: Tensor) -> Tensor:
        """(N, L, C) -> (N, K)."""
        places = self.stages(windows.transpose(1, 2))  # (N, width, places)
        scores: Tensor = self.head(places.flatten(1))
        return scores


def _stage(spec: NetworkSpec, width: int, wider: int) -> nn.Sequential:
    """(N, width, P) -> (N, wider, ceil(P / 2))."""
    padding = spec.kernel_size // 2
    return nn.Sequential(
        nn.Conv1d(width, wider, spec.kernel_size, padding=padding),
        nn.GroupNorm(1, wider),
        nn.ReLU(),
        nn.MaxPool1d(2, ceil_mode=True),
        Dropout(spec.dropout),
    )
