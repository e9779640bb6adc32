"""N-HiTS: stacks that read the window at several rates and forecast what follows."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ranking_pipeline.learning.networks.base import Dropout, NetworkSpec, score_head


def interpolation(knots: int, size: int) -> Tensor:
    """Matrix (knots, size) that interpolates linearly between evenly spaced knots.

    A product with it equals torch's ``interpolate``, whose backward on a GPU is not
    deterministic.
    """
    corners = torch.eye(knots).unsqueeze(1)  # (knots, 1, knots)
    return F.interpolate(corners, size=size, mode="linear").squeeze(1)


class InterpolatedBlock(nn.Module):
    """Pool, think, and give knots of a backcast and a forecast.

    Parameters
    ----------
    spec : NetworkSpec
    length, channels, pooling : int
        Bars L, channels C, and bars k that one place of the pooled window stands for;
        knots lie k bars apart too.
    last : bool
        No block follows, and so no backcast is made.
    """

    backcast_basis: Tensor
    forecast_basis: Tensor

    def __init__(
        self, spec: NetworkSpec, length: int, channels: int, pooling: int, last: bool
    ) -> None:
        super().__init__()
        self.pool = nn.MaxPool1d(pooling, ceil_mode=True)
        places, ahead = -(-length // pooling), -(-spec.horizon // pooling)
        width, layers = places * channels, []
        for _ in range(spec.layers):
            layers += [nn.Linear(width, spec.hidden), nn.ReLU(), Dropout(spec.dropout)]
            width = spec.hidden
        self.body = nn.Sequential(*layers)
        self.backcast = None if last else nn.Linear(width, places * channels)
        self.forecast = nn.Linear(width, ahead * channels)
        for name, knots, size in (
            ("backcast_basis", places, length),
            ("forecast_basis", ahead, spec.horizon),
        ):
            self.register_buffer(name, interpolation(knots, size), persistent=False)

    def forward(self, series: Tensor) -> tuple[Tensor | None, Tensor]:
        """(N, C, L) -> backcast (N, C, L) or None, and forecast (N, C, horizon)."""
        shape = series.shape[:2]
        hidden = self.body(self.pool(series).flatten(1))  # (N, hidden)
        ahead = self.forecast(hidden).view(*shape, len(self.forecast_basis))
        forecast = ahead @ self.forecast_basis
        if self.backcast is None:
            return None, forecast
        behind = self.backcast(hidden).view(*shape, len(self.backcast_basis))
        return behind @ self.backcast_basis, forecast


class InterpolatedStacksNetwork(nn.Module):
    """N-HiTS of Challu et al. (2023), "Neural hierarchical interpolation", as a scorer.

    One block for each rate of ``pooling``: it max-pools the window at that rate, gives
    knots that far apart, and takes its backcast off the window before the next block
    reads it. Forecasts of all blocks are summed. Here all C channels go in and come out
    together, and the head reads the summed forecast of ``horizon`` bars. The forecast
    has no target of its own: the loss of the scores shapes it, so that it is a
    multi-rate code of the window rather than a prediction of bars.
    """

    def __init__(
        self, spec: NetworkSpec, length: int, channels: int, outputs: int
    ) -> None:
        super().__init__()
        last = len(spec.pooling) - 1
        self.blocks = nn.ModuleList(
            InterpolatedBlock(spec, length, channels, pooling, place == last)
            for place, pooling in enumerate(spec.pooling)
        )
        self.head = score_head(channels * spec.horizon, outputs)

    def forward(self, windows: Tensor) -> Tensor:
        """(N, L, C) -> (N, K)."""
        scores: Tensor = self.head(self.forecast(windows).flatten(1))
        return scores

    def forecast(self, windows: Tensor) -> Tensor:
        """(N, L, C) -> (N, C, horizon): the summed forecasts of the blocks."""
        residual, forecasts = windows.transpose(1, 2), []
        for block in self.blocks:
            backcast, forecast = block(residual)
            forecasts.append(forecast)
            residual = residual if backcast is None else residual - backcast
        return torch.stack(forecasts).sum(dim=0)
