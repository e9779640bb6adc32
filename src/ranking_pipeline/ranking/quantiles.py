"""Score quantiles: what each slice of a cross-section earns."""

from __future__ import annotations

import torch
from torch import Tensor

from ranking_pipeline.ranking.ordering import order_of


def quantile_means(
    scores: Tensor,
    payoffs: Tensor,
    mask: Tensor,
    n_quantiles: int = 10,
    min_symbols: int = 2,
) -> Tensor:
    """Mean payoff per score quantile and bar; quantile 0 holds the lowest scores.

    Parameters
    ----------
    scores : Tensor, shape (B, M)
    payoffs : Tensor, shape (B, M)
        Raw forward returns.
    mask : Tensor of bool, shape (B, M)
    n_quantiles : int
    min_symbols : int

    Returns
    -------
    Tensor of float64, shape (B, n_quantiles)
        NaN where a quantile is empty or the bar has too few names. Quantiles come from
        average ranks, (rank - 1/2) / n, so that equal scores stay together.
    """
    mask = mask & torch.isfinite(scores) & torch.isfinite(payoffs)
    order = order_of(scores, mask)
    share = (order.ranks - 0.5) / order.count.clamp(min=1).unsqueeze(1)
    quantile = (share * n_quantiles).long().clamp(max=n_quantiles - 1)  # (B, M)
    enough = order.count >= min_symbols
    means = []
    for index in range(n_quantiles):
        members = mask & (quantile == index)
        total = torch.where(members, payoffs, 0.0).double().sum(dim=1)
        # An empty quantile is 0 / 0.
        mean = total / members.sum(dim=1)
        means.append(torch.where(enough, mean, torch.nan))
    return torch.stack(means, dim=1)


def quantile_spread(
    scores: Tensor,
    payoffs: Tensor,
    mask: Tensor,
    n_quantiles: int = 10,
    min_symbols: int = 2,
) -> Tensor:
    """Mean payoff of the highest quantile minus that of the lowest, (B,) float64."""
    means = quantile_means(scores, payoffs, mask, n_quantiles, min_symbols)
    return means[:, -1] - means[:, 0]
