"""Bottleneck: a network that tells what follows from a short, noisy code of its input.

References
----------
Alemi, Fischer, Dillon and Murphy (2017), deep variational information bottleneck.
Kingma and Welling (2014), the drawn code and its reconstruction.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ranking_pipeline.learning.losses.base import CrossSectionLoss, Tables
from ranking_pipeline.learning.losses.with_cost import LossWithCost
from ranking_pipeline.learning.networks.base import NetworkSpec, score_head
from ranking_pipeline.learning.networks.perceptron import PerceptronNetwork


class BottleneckNetwork(nn.Module):
    """Encoder to a Gaussian code, and heads for the prediction and the input.

    In training it gives (N, K + 2): the prediction from a drawn code, the mean squared
    error of the reconstruction and the divergence of the code from a standard normal in
    nats. Otherwise it gives (N, K), the prediction from the mean of the code: the head
    is linear, so this is the mean over all draws.

    Parameters
    ----------
    code : int
        Dimensions of the code.
    """

    def __init__(
        self,
        spec: NetworkSpec,
        length: int,
        channels: int,
        outputs: int,
        *,
        code: int,
    ) -> None:
        super().__init__()
        self.encoder = PerceptronNetwork(spec, length, channels, 2 * code)
        self.head = score_head(code, outputs)
        self.decoder = nn.Sequential(
            nn.Linear(code, spec.hidden),
            nn.ReLU(),
            nn.Linear(spec.hidden, length * channels),
        )

    def forward(self, windows: Tensor) -> Tensor:
        """(N, L, C) -> (N, K), and (N, K + 2) in training."""
        mean, log_variance = self.encoder(windows).chunk(2, dim=1)
        if not self.training:
            predicted: Tensor = self.head(mean)
            return predicted
        code = mean + torch.randn_like(mean) * (log_variance / 2).exp()
        error = (self.decoder(code) - windows.flatten(1)).square().mean(dim=1)
        costs = torch.stack([error, divergence(mean, log_variance)], dim=1)
        return torch.cat([self.head(code), costs], dim=1)


class BottleneckLoss(LossWithCost):
    """A loss of the prediction, and the price of the code.

    Parameters
    ----------
    main : CrossSectionLoss
        Judges the prediction.
    outputs : int
        Columns K of the prediction.
    reconstruction, beta : float
        Weights of the reconstruction error and of the divergence.
    """

    def __init__(
        self,
        main: CrossSectionLoss,
        outputs: int,
        reconstruction: float,
        beta: float,
    ) -> None:
        super().__init__(main, outputs)
        self.reconstruction = reconstruction
        self.beta = beta

    def cost_tables(self, cells: Tensor, count: Tensor) -> Tables:
        """Weights of a mean over the day."""
        return {"code.weights": cells / count}

    def cost(self, others: Tensor, tables: Tables) -> Tensor:
        """Price of reconstruction errors and divergences (B, M, 2)."""
        price = self.reconstruction * others[..., 0] + self.beta * others[..., 1]
        return (price * tables["code.weights"]).sum(dim=1)


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Kullback-Leibler divergence (N,) of N(mean, variance) from N(0, 1), in nats.

    Summed over the dimensions (N, D); see Kingma and Welling (2014), appendix B.
    """
    per_dimension = mean.square() + log_variance.exp() - 1 - log_variance
    return per_dimension.sum(dim=1) / 2
