"""Ranking losses the plain way: a Python loop over the bars of a padded batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from scipy.stats import norm, rankdata
from torch import Tensor
from torch.nn import functional

# (scores (B, M), targets (B, M), mask (B, M)) -> scalar
NaiveLoss = Callable[[Tensor, Tensor, Tensor], Tensor]
# Places (winner, loser) among the valid names of one bar, each (P,)
PairPlaces = tuple[Tensor, Tensor]


def sampled_pairs_loss(
    top_pct: float = 0.2,
    bottom_pct: float = 0.2,
    margin: float = 0.0,
    max_pairs: int = 100,
) -> NaiveLoss:
    """Logistic loss of ``max_pairs`` pairs of each bar, drawn without replacement."""

    def loss(scores: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
        values = []
        for bar in range(len(scores)):
            valid = mask[bar] > 0
            score, target = scores[bar][valid], targets[bar][valid]
            winners, losers = _tails(target, top_pct, bottom_pct)
            if min(len(winners), len(losers)) < 2:
                continue
            n_pairs = len(winners) * len(losers)
            drawn = torch.randperm(n_pairs)[:max_pairs]
            better = score[winners[drawn // len(losers)]]  # (P,)
            worse = score[losers[drawn % len(losers)]]  # (P,)
            values.append(functional.softplus(margin - (better - worse)).mean())
        return torch.stack(values).mean() if values else scores.sum() * 0

    return loss


def all_pairs_loss(
    top_pct: float = 0.2, bottom_pct: float = 0.2, margin: float = 0.0
) -> NaiveLoss:
    """Logistic loss of every pair of each bar whose targets differ."""

    def loss(scores: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
        values = []
        for bar in range(len(scores)):
            valid = mask[bar] > 0
            score, target = scores[bar][valid], targets[bar][valid]
            winners, losers = _tails(target, top_pct, bottom_pct)
            if min(len(winners), len(losers)) < 2:
                continue
            gap = score[winners][:, None] - score[losers][None, :]  # (K, J)
            differ = target[winners][:, None] > target[losers][None, :]
            if differ.any():
                values.append(functional.softplus(margin - gap[differ]).mean())
        return torch.stack(values).mean() if values else scores.sum() * 0

    return loss


def given_pairs_loss(pairs: Sequence[PairPlaces], margin: float = 0.0) -> NaiveLoss:
    """Logistic loss of pairs that were drawn elsewhere, one entry per bar."""

    def loss(scores: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
        values = []
        for bar, (winners, losers) in enumerate(pairs):
            score = scores[bar][mask[bar] > 0]
            gap = score[winners] - score[losers]  # (P,)
            values.append(functional.softplus(margin - gap).mean())
        return torch.stack(values).mean()

    return loss


def listnet_loss(temperature: float = 1.0) -> NaiveLoss:
    """Cross-entropy of softmax(s / T) against softmax(z / T), less its lowest, by T².

    z are the normal scores of the targets' ranks.
    """

    def loss(scores: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
        values = []
        for bar in range(len(scores)):
            valid = mask[bar] > 0
            score, target = scores[bar][valid], targets[bar][valid].numpy()
            if len(np.unique(target)) < 2:
                continue
            logit = norm.ppf((rankdata(target) - 0.5) / len(target)) / temperature
            share = torch.from_numpy(logit).softmax(0).to(score.dtype)
            cross = -(share * (score / temperature).log_softmax(0)).sum()
            lowest = -(share * share.log()).sum()
            values.append(temperature**2 * (cross - lowest))
        return torch.stack(values).mean() if values else scores.sum() * 0

    return loss


def _tails(target: Tensor, top_pct: float, bottom_pct: float) -> tuple[Tensor, Tensor]:
    """Places of the highest and of the lowest targets, by one stable order."""
    # 0.2 * 15 is a little above 3 in binary, 0.1 * 30 may be a little below.
    n_top = int(len(target) * top_pct + 1e-9)
    n_bottom = int(len(target) * bottom_pct + 1e-9)
    order = torch.argsort(target, descending=True, stable=True)
    return order[:n_top], order[len(order) - n_bottom :]
