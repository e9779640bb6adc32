"""Networks: windows (N, L, C) in, one score or K class scores per window out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ranking_pipeline.errors import UserError
from ranking_pipeline.learning.device import seeded

# cuDNN has a fast persistent kernel for small states; beyond this its backward is lost.
LARGEST_RECURRENT_STATE = 128


@dataclass(frozen=True)
class NetworkSpec:
    """A network by name and size.

    Attributes
    ----------
    name : str
        One of :func:`network_names`.
    hidden : int
        Units of a hidden layer, or of the recurrent state.
    layers : int
        Hidden layers.
    dropout : float
        Share of hidden units dropped in training.
    """

    name: str
    hidden: int = 64
    layers: int = 1
    dropout: float = 0.0


def _head(width: int, outputs: int) -> nn.Linear:
    """Make the last layer, small at first.

    Scores then start near zero: the first steps learn the signal and do not first have
    to unlearn the noise of the initial weights.
    """
    head = nn.Linear(width, outputs)
    with torch.no_grad():
        head.weight.mul_(0.1)
        head.bias.zero_()
    return head


class LinearNetwork(nn.Module):
    """A linear map of the flattened window."""

    def __init__(
        self, spec: NetworkSpec, length: int, channels: int, outputs: int
    ) -> None:
        super().__init__()
        self.head = _head(length * channels, outputs)

    def forward(self, windows: Tensor) -> Tensor:
        """(N, L, C) -> (N, K)."""
        scores: Tensor = self.head(windows.flatten(1))
        return scores


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
                nn.Dropout(spec.dropout),
            ]
            width = spec.hidden
        self.body = nn.Sequential(*blocks)
        self.head = _head(width, outputs)

    def forward(self, windows: Tensor) -> Tensor:
        """(N, L, C) -> (N, K)."""
        scores: Tensor = self.head(self.body(windows.flatten(1)))
        return scores


class RecurrentNetwork(nn.Module):
    """A recurrent network read at the last bar of the window."""

    def __init__(
        self, spec: NetworkSpec, length: int, channels: int, outputs: int
    ) -> None:
        super().__init__()
        if spec.hidden > LARGEST_RECURRENT_STATE:
            raise UserError(
                f"network.hidden is {spec.hidden}; a {spec.name} takes at most "
                f"{LARGEST_RECURRENT_STATE}."
            )
        cell = nn.LSTM if spec.name == "lstm" else nn.GRU
        self.body = cell(
            channels,
            spec.hidden,
            spec.layers,
            batch_first=True,
            dropout=spec.dropout if spec.layers > 1 else 0.0,
        )
        self.dropout = nn.Dropout(spec.dropout)
        self.head = _head(spec.hidden, outputs)

    def forward(self, windows: Tensor) -> Tensor:
        """(N, L, C) -> (N, K)."""
        states, _ = self.body(windows)  # (N, L, hidden)
        scores: Tensor = self.head(self.dropout(states[:, -1]))
        return scores


_NETWORKS: dict[str, Callable[[NetworkSpec, int, int, int], nn.Module]] = {
    "linear": LinearNetwork,
    "mlp": PerceptronNetwork,
    "lstm": RecurrentNetwork,
    "gru": RecurrentNetwork,
}


def network_names() -> list[str]:
    """List the names that :func:`make_network` knows."""
    return sorted(_NETWORKS)


class Scorer(nn.Module):
    """A network whose single output is squeezed away: (N, L, C) -> (N,) or (N, K)."""

    def __init__(self, body: nn.Module, outputs: int) -> None:
        super().__init__()
        self.body = body
        self.outputs = outputs

    def forward(self, windows: Tensor) -> Tensor:
        """Score windows (N, L, C)."""
        scores: Tensor = self.body(windows)
        return scores.squeeze(-1) if self.outputs == 1 else scores


def make_network(
    spec: NetworkSpec, sample_shape: tuple[int, int], outputs: int = 1, *, seed: int
) -> Scorer:
    """Build a network with weights drawn from ``seed``.

    Parameters
    ----------
    spec : NetworkSpec
    sample_shape : (L, C)
    outputs : int
        1 for a score, the number of classes K for a classifier.
    seed : int
        torch's own random state is left as it was.

    Raises
    ------
    UserError
        When the name is unknown or the size is not allowed.
    """
    if spec.name not in _NETWORKS:
        raise UserError(
            f"network.name is {spec.name!r}; use one of {', '.join(network_names())}."
        )
    length, channels = sample_shape
    with seeded(seed, torch.device("cpu")):
        return Scorer(_NETWORKS[spec.name](spec, length, channels, outputs), outputs)
