"""A temporal convolutional network that reads exactly one window."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from ranking_pipeline.errors import UserError
from ranking_pipeline.learning.networks.base import (
    Dropout,
    NetworkSpec,
    SeriesNetwork,
    score_head,
)


def kernel_sizes(length: int, largest: int) -> list[int]:
    """Choose kernels k_j for dilations 2^j so that the stack reads ``length`` bars.

    A convolution of dilation d reaches d (k - 1) bars back, so that the kernels solve
    sum_j 2^j (k_j - 1) = length - 1. With k_j - 1 in {1, ..., largest - 1} this writes
    length - 1 in base two with digits from 1: for ``largest`` = 3 the one bijective
    numeral, for more the shortest one with its larger digits last. As every digit is at
    least 1, no bar in between is skipped.

    Raises
    ------
    UserError
        When ``largest`` is below 3: kernels of 2 alone reach 2^n - 1 bars only.

    Examples
    --------
    >>> kernel_sizes(32, 3), kernel_sizes(33, 3)
    ([2, 2, 2, 2, 2], [3, 2, 2, 2, 2])
    """
    if largest < 3:
        raise UserError(f"network.kernel_size is {largest}; a tcn needs 3 or more.")
    depth = 0
    while (largest - 1) * (2**depth - 1) < length - 1:
        depth += 1
    left = length - 2**depth
    kernels = [2] * depth
    for level in reversed(range(depth)):
        extra = min(largest - 2, left // 2**level)
        kernels[level] += extra
        left -= extra * 2**level
    return kernels


class ConvolutionBlock(nn.Module):
    """One convolution over time, more over single bars, added to the block's input.

    Unpadded: the first outputs have no full past and do not exist; the input is cropped
    to the bars that remain.
    """

    def __init__(self, spec: NetworkSpec, kernel: int) -> None:
        super().__init__()
        width = spec.hidden
        self.kernel = kernel
        self.over_time = nn.Conv1d(width, width, kernel)
        self.over_units = nn.ModuleList(
            nn.Conv1d(width, width, 1) for _ in range(spec.layers - 1)
        )
        self.dropout = Dropout(spec.dropout)

    def forward(self, bars: Tensor, stride: int = 1, dilation: int = 1) -> Tensor:
        """(N, H, P) -> (N, H, (P - dilation (kernel - 1) - 1) // stride + 1)."""
        kernel = self.over_time
        update = F.conv1d(bars, kernel.weight, kernel.bias, stride, dilation=dilation)
        for layer in self.over_units:
            update = layer(self.dropout(F.relu(update)))
        kept = bars[..., dilation * (self.kernel - 1) :: stride]
        updated: Tensor = kept + self.dropout(F.relu(update))
        return updated


class ConvolutionalNetwork(SeriesNetwork):
    """Causal dilated convolutions whose receptive field is the window, exactly.

    After Bai, Kolter and Koltun (2018), but unpadded: no bar is computed from zeros
    that stand for an unknown past. The scores of all windows of a series then share
    their work (:meth:`score_series`), where the inputs of a bar do not depend on the
    window that it is in.
    """

    def __init__(
        self, spec: NetworkSpec, length: int, channels: int, outputs: int
    ) -> None:
        super().__init__()
        self.length = length
        self.inlet = nn.Conv1d(channels, spec.hidden, 1)
        kernels = kernel_sizes(length, spec.kernel_size)
        self.blocks = nn.ModuleList(ConvolutionBlock(spec, size) for size in kernels)
        self.head = score_head(spec.hidden, outputs)

    def forward(self, windows: Tensor) -> Tensor:
        """(N, L, C) -> (N, K)."""
        bars = self.inlet(windows.transpose(1, 2))  # (N, hidden, L)
        for block in self.blocks:
            # The next dilation is twice this one, so that it reads every second bar of
            # what is here; a stride computes no other, and closes the gaps between.
            bars = block(bars, stride=2)
        scores: Tensor = self.head(bars[..., 0])  # one bar is left
        return scores

    def score_series(self, series: Tensor) -> Tensor:
        """(S, T, C) -> (S, T - L + 1, K).

        Raises
        ------
        UserError
            When the series is shorter than a window.
        """
        if series.shape[1] < self.length:
            raise UserError(
                f"the series has {series.shape[1]} bars; a window has {self.length}."
            )
        bars = self.inlet(series.transpose(1, 2))  # (S, hidden, T)
        for level, block in enumerate(self.blocks):
            bars = block(bars, dilation=2**level)
        scores: Tensor = self.head(bars.transpose(1, 2))
        return scores
