"""Recurrent networks read at the last bar of the window."""

from __future__ import annotations

from torch import Tensor, nn

from ranking_pipeline.errors import UserError
from ranking_pipeline.learning.networks.base import Dropout, NetworkSpec, score_head

# cuDNN has a fast persistent kernel for small states; beyond this its backward is lost.
LARGEST_RECURRENT_STATE = 128


def recurrent_layers(
    cell: type[nn.LSTM] | type[nn.GRU], spec: NetworkSpec, width: int, layers: int
) -> nn.LSTM | nn.GRU:
    """Make recurrent layers that read rows (N, L, width).

    Raises
    ------
    UserError
        When the state is too large.
    """
    if spec.hidden > LARGEST_RECURRENT_STATE:
        raise UserError(
            f"network.hidden is {spec.hidden}; a {spec.name} takes at most "
            f"{LARGEST_RECURRENT_STATE}."
        )
    # torch warns of dropout that has no second layer to act before.
    dropout = spec.dropout if layers > 1 else 0.0
    return cell(width, spec.hidden, layers, batch_first=True, dropout=dropout)


class RecurrentNetwork(nn.Module):
    """A recurrent network read at the last bar of the window."""

    def __init__(
        self, spec: NetworkSpec, length: int, channels: int, outputs: int
    ) -> None:
        super().__init__()
        cell = nn.LSTM if spec.name == "lstm" else nn.GRU
        self.body = recurrent_layers(cell, spec, channels, spec.layers)
        self.dropout = Dropout(spec.dropout)
        self.head = score_head(spec.hidden, outputs)

    def forward(self, windows: Tensor) -> Tensor:
        """(N, L, C) -> (N, K)."""
        states, _ = self.body(windows)  # (N, L, hidden)
        scores: Tensor = self.head(self.dropout(states[:, -1]))
        return scores
