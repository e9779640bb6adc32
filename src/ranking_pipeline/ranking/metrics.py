"""Rank metrics of cross-sections on the device: information coefficient and spread."""

from __future__ import annotations

import torch
from torch import Tensor

from ranking_pipeline.learning.ranks import average_ranks


def rank_ic(
    scores: Tensor, outcomes: Tensor, mask: Tensor, min_symbols: int = 2
) -> Tensor:
    """Spearman correlation of each bar, with average ranks for ties.

    Parameters
    ----------
    scores, outcomes : Tensor, shape (B, M)
    mask : Tensor of bool, shape (B, M)
        Slots that count; slots with a value that is not finite never do.
    min_symbols : int
        Bars with fewer names are NaN.

    Returns
    -------
    Tensor of float64, shape (B,); NaN where scores or outcomes are all equal.

    Notes
    -----
    Source: Spearman (1904).
    """
    mask = mask & torch.isfinite(scores) & torch.isfinite(outcomes)
    count = mask.sum(dim=1)
    first, second = _centred_ranks(scores, mask), _centred_ranks(outcomes, mask)
    length = (first.square().sum(dim=1) * second.square().sum(dim=1)).sqrt()
    enough = (count >= min_symbols) & (length > 0)
    return torch.where(enough, (first * second).sum(dim=1) / length, torch.nan)


def tail_spread(
    scores: Tensor, payoffs: Tensor, mask: Tensor, top_pct: float, bottom_pct: float
) -> Tensor:
    """Mean payoff of the best-scored names minus that of the worst, per bar.

    A tail holds min(max(1, floor(n * share)), n // 2) names; equal scores at the cut
    are taken in slot order.

    Parameters
    ----------
    scores, payoffs : Tensor, shape (B, M)
    mask : Tensor of bool, shape (B, M)
    top_pct, bottom_pct : float

    Returns
    -------
    Tensor of float64, shape (B,), in the unit of ``payoffs``; NaN below two names.
    """
    mask = mask & torch.isfinite(scores) & torch.isfinite(payoffs)
    count = mask.sum(dim=1)
    places = torch.arange(scores.shape[1], device=scores.device)
    means = []
    for share, sign in ((top_pct, -1.0), (bottom_pct, 1.0)):
        key = torch.where(mask, sign * scores, torch.inf)
        order = key.sort(dim=1, stable=True).indices
        size = tail_size(count, share)
        used = places < size.unsqueeze(1)
        payoff = torch.where(used, payoffs.gather(1, order).double(), 0.0)
        means.append(payoff.sum(dim=1) / size)
    return means[0] - means[1]


def tail_size(count: Tensor, share: float) -> Tensor:
    """Names in one tail of ``count`` names, never so many that two tails overlap."""
    wanted = torch.floor(count.double() * share + 1e-9).long().clamp(min=1)
    return torch.minimum(wanted, count // 2)


def _centred_ranks(values: Tensor, mask: Tensor) -> Tensor:
    ranks = torch.where(mask, average_ranks(values, mask), 0.0)
    mean = ranks.sum(dim=1, keepdim=True) / mask.sum(dim=1, keepdim=True).clamp(min=1)
    return torch.where(mask, ranks - mean, 0.0)
