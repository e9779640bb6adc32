"""Generator: draws what may follow from an input and noise, and a critic of the draws.

References
----------
Mirza and Osindero (2014), conditional adversarial networks. Arjovsky, Chintala and
Bottou (2017), the Wasserstein critic. Gulrajani et al. (2017), its gradient penalty.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ranking_pipeline.learning.networks.base import NetworkSpec, ScoreHead

# Hidden units of all draws of some rows: they stay in the cache of a processor.
_ROWS_AT_ONCE = 256


class GeneratorNetwork(nn.Module):
    """Hidden layers over an input and a draw of noise.

    Its fixed draws come from the random state in which it is made, each with its
    negative, so that their mean is 0; they are part of its state.

    Parameters
    ----------
    noise : int
        Dimensions of a draw.
    draws : int
        Fixed draws D; even.
    """

    draws: Tensor

    def __init__(
        self,
        spec: NetworkSpec,
        length: int,
        channels: int,
        *,
        noise: int,
        draws: int,
    ) -> None:
        super().__init__()
        self.seen = nn.Linear(length * channels, spec.hidden)
        self.drawn = nn.Linear(noise, spec.hidden, bias=False)
        self.told = _hidden_layers(spec)
        half = torch.randn(draws // 2, noise)
        self.register_buffer("draws", torch.cat([half, -half]))

    def sample(self, windows: Tensor) -> Tensor:
        """(N, L, C) -> (N,): what follows by one fresh draw for each window."""
        shape = (len(windows), self.draws.shape[1])
        noise = torch.randn(shape, device=windows.device)
        hidden = self.seen(windows.flatten(1)) + self.drawn(noise)
        drawn: Tensor = self.told(hidden)
        return drawn.squeeze(-1)

    def outcomes(self, windows: Tensor) -> Tensor:
        """(N, L, C) -> (N, D): what follows by each of the fixed draws."""
        drawn, parts = self.drawn(self.draws), []  # (D, hidden)
        for some in torch.split(windows.flatten(1), _ROWS_AT_ONCE):
            hidden = self.seen(some).unsqueeze(1) + drawn  # (rows, D, hidden)
            parts.append(self.told(hidden).squeeze(-1))
        return torch.cat(parts)

    def forward(self, windows: Tensor) -> Tensor:
        """(N, L, C) -> (N, 1): the mean over the fixed draws."""
        return self.outcomes(windows).mean(dim=1, keepdim=True)


class CriticNetwork(nn.Module):
    """Hidden layers over an input and what followed it.

    Without batch normalisation: the penalty is one of each row alone.
    """

    def __init__(self, spec: NetworkSpec, length: int, channels: int) -> None:
        super().__init__()
        self.seen = nn.Linear(length * channels, spec.hidden)
        self.followed = nn.Linear(1, spec.hidden, bias=False)
        self.told = _hidden_layers(spec)

    def forward(self, windows: Tensor, outcomes: Tensor) -> Tensor:
        """Judge outcomes (N,) after windows (N, L, C): (N,), high for real ones."""
        seen = self.seen(windows.flatten(1))
        judged: Tensor = self.told(seen + self.followed(outcomes.unsqueeze(1)))
        return judged.squeeze(-1)


def critic_loss(
    critic: CriticNetwork,
    windows: Tensor,
    real: Tensor,
    drawn: Tensor,
    weights: Tensor,
    penalty: float,
) -> Tensor:
    """Minus the distance of drawn from real outcomes that the critic finds.

    Mean of D(x, drawn) - D(x, real) + penalty (|dD/dy| - 1)^2; the last term at a
    uniformly drawn place y between the two outcomes of a row. The slope is taken in
    the outcome alone, since both outcomes have the same input.

    Parameters
    ----------
    windows : Tensor, shape (N, L, C)
    real, drawn : Tensor, shape (N,)
    weights : Tensor, shape (N,)
        Sum to one.
    penalty : float
    """
    place = torch.rand_like(real)
    between = (place * real + (1 - place) * drawn).detach().requires_grad_()
    judged = critic(windows, between)
    (slope,) = torch.autograd.grad(judged.sum(), between, create_graph=True)
    distance = critic(windows, drawn) - critic(windows, real)
    costs: Tensor = distance + penalty * (slope.abs() - 1).square()
    return (weights * costs).sum()


def ranked_probability(outcomes: Tensor, real: Tensor) -> Tensor:
    """Continuous ranked probability score (N,) of draws (N, D); smaller is better.

    The mean distance of the draws from what came, less half their mean distance from
    each other: Gneiting and Raftery (2007), equation 21.
    """
    n_draws = outcomes.shape[1]
    ordered = outcomes.sort(dim=1).values
    place = torch.arange(n_draws, device=outcomes.device)
    apart = (ordered * (2 * place - n_draws + 1)).sum(dim=1) / n_draws**2
    return (outcomes - real.unsqueeze(1)).abs().mean(dim=1) - apart


def _hidden_layers(spec: NetworkSpec) -> nn.Sequential:
    """Units with a slope everywhere, after the sum of the first layers; one output."""
    layers: list[nn.Module] = [nn.LeakyReLU(0.1)]
    for _ in range(spec.layers - 1):
        layers += [nn.Linear(spec.hidden, spec.hidden), nn.LeakyReLU(0.1)]
    return nn.Sequential(*layers, ScoreHead(spec.hidden, 1))
