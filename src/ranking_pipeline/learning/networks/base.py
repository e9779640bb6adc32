"""What networks share: their sizes, their last layer, and the scorer around them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ranking_pipeline.errors import UserError
from ranking_pipeline.learning.layout import Layout

# Values of 16 bits.
_LEVELS = 1 << 16
_LOWEST_INT64 = -(1 << 63)
_AT_LEAST_ONE = (
    "hidden",
    "layers",
    "heads",
    "kernel_size",
    "market_tokens",
    "prediction_layers",
    "patch_length",
    "patch_stride",
    "horizon",
)


@dataclass(frozen=True)
class NetworkSpec:
    """A network by name and size; a network ignores sizes of parts it lacks.

    Attributes
    ----------
    name : str
        One of :func:`network_names`.
    hidden : int
        Units of a hidden layer, or of the recurrent state.
    layers : int
        Hidden layers (mlp; of each block of nhits), recurrent layers (lstm, gru, alstm,
        tft), blocks (transformer, mixer, patchtst, tab_transformer), blocks of each of
        the two kinds (stock_transformer), stages (cnn1d), rounds of exchange between
        the names (cross_stock), or convolutions in a block, all but the first over one
        bar (tcn).
    dropout : float
        Share of hidden units dropped in training.
    heads : int
        Attention heads; they must divide ``hidden``.
    kernel_size : int
        Bars that one convolution reads: at most (tcn), or exactly (cnn1d; odd).
    market_tokens : int
        Learned summaries of the market in cross_stock.
    prediction_layers : int or None
        Prediction blocks of the stock_transformer; None: as many as ``layers``.
    patch_length, patch_stride : int
        Bars of a patch of patchtst, and from one patch to the next.
    pooling : tuple of int
        Bars that one place of each block of nhits stands for, in their order.
    horizon : int
        Bars that nhits forecasts.

    Raises
    ------
    UserError
        When a size is out of range.
    """

    name: str
    hidden: int = 64
    layers: int = 1
    dropout: float = 0.0
    heads: int = 4
    kernel_size: int = 3
    market_tokens: int = 8
    prediction_layers: int | None = None
    patch_length: int = 8
    patch_stride: int = 4
    pooling: tuple[int, ...] = (8, 4, 1)
    horizon: int = 8

    def __post_init__(self) -> None:
        for name in _AT_LEAST_ONE:
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"network.{name} is {value}; use 1 or more.")
        object.__setattr__(self, "pooling", tuple(self.pooling))  # a list when stored
        if not self.pooling or min(self.pooling) < 1:
            raise UserError(
                f"network.pooling is {self.pooling}; name at least one number of bars, "
                "each 1 or more."
            )
        if not 0 <= self.dropout < 1:
            raise UserError(
                f"network.dropout is {self.dropout}; use a share from 0 to below 1."
            )


class CrossStockNetwork(nn.Module):
    """A network that lets the names of a bar see each other.

    Its forward takes (windows (N, L, C), layout) and gives (N, K). It must give a name
    the same score whatever the order of the names, and whatever the padded slots hold.
    """


class SeriesNetwork(nn.Module, ABC):
    """A network that can score every window of a series in one pass."""

    @abstractmethod
    def score_series(self, series: Tensor) -> Tensor:
        """(S, T, C) -> (S, T - L + 1, K): the score of each window's last bar."""


class ScoreHead(nn.Linear):
    """A last layer that stays out of autocast: scores in bfloat16 would tie."""

    def forward(self, hidden: Tensor) -> Tensor:
        """(..., width) -> (..., K), in float32 or float64."""
        wide = hidden if hidden.dtype == torch.float64 else hidden.float()
        with torch.autocast(hidden.device.type, enabled=False):
            return super().forward(wide)


class Dropout(nn.Dropout):
    """Dropout that draws four units at a time on a CPU; elsewhere torch's own.

    torch draws the units one by one there, which is a third of the time of a
    perceptron. A random integer of 64 bits decides about four units, each by 16 bits:
    the share dropped is right to 1 / 131072, and what is kept is scaled by the share
    that is really kept. It draws from torch's generator.
    """

    def forward(self, values: Tensor) -> Tensor:
        """Drop some of the values (any shape) in training."""
        compiling = torch.compiler.is_compiling()
        if not self.training or values.device.type != "cpu" or compiling:
            return super().forward(values)
        n_dropped = round(self.p * _LEVELS)
        if n_dropped in {0, _LEVELS}:
            return super().forward(values)
        words = torch.empty(-(-values.numel() // 4), dtype=torch.int64)
        level = words.random_(_LOWEST_INT64, None).view(torch.int16)
        kept = level[: values.numel()].view(values.shape) >= n_dropped - _LEVELS // 2
        scale = _LEVELS / (_LEVELS - n_dropped)
        return values * kept.to(values.dtype).mul_(scale)


def score_head(width: int, outputs: int) -> ScoreHead:
    """Make the last layer, small at first.

    Scores then start near zero: the first steps learn the signal and do not first have
    to unlearn the noise of the initial weights.
    """
    head = ScoreHead(width, outputs)
    with torch.no_grad():
        head.weight.mul_(0.1)
        head.bias.zero_()
    return head


class Scorer(nn.Module):
    """A network with one call for all kinds: (N, L, C), layout -> (N,) or (N, K).

    A single output is squeezed away. Only a :class:`CrossStockNetwork` gets to see the
    layout.
    """

    def __init__(self, body: nn.Module, outputs: int) -> None:
        super().__init__()
        self.body = body
        self.outputs = outputs

    @property
    def crosses(self) -> bool:
        """Whether a name's score depends on the other names of its bar."""
        return isinstance(self.body, CrossStockNetwork)

    @property
    def has_series(self) -> bool:
        """Whether :meth:`score_series` can be called."""
        return isinstance(self.body, SeriesNetwork)

    def forward(self, windows: Tensor, layout: Layout) -> Tensor:
        """Score windows (N, L, C) whose cells sit at ``layout``."""
        seen = (windows, layout) if self.crosses else (windows,)
        return self._squeezed(self.body(*seen))

    def score_series(self, series: Tensor) -> Tensor:
        """Score all windows of S series: (S, T, C) -> (S, T - L + 1) or (.., K).

        Place i of the second axis is the window that ends at bar i + L - 1. The values
        equal those of :meth:`forward` up to rounding.

        Raises
        ------
        UserError
            When the network has no such path, or T is below L.
        """
        if not isinstance(self.body, SeriesNetwork):
            raise UserError(
                f"{type(self.body).__name__} scores window by window; use network.name "
                "'tcn' to score whole series."
            )
        return self._squeezed(self.body.score_series(series))

    def _squeezed(self, scores: Tensor) -> Tensor:
        return scores.squeeze(-1) if self.outputs == 1 else scores
