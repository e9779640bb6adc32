"""Ranking losses, value and gradient, beside a plain loop over the bars.

Every case is a batch of whole cross-sections; tables of the targets are made before, as
the training loop does. Figures are process CPU time on one thread. The peer of the
pairwise cases draws 100 pairs of each bar without replacement; that of ``all pairs`` is
the same loop, so ours then holds up to 160,000 times as many pairs.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.harness import Row, row
from benchmarks.naive_losses import NaiveLoss, listnet_loss, sampled_pairs_loss
from ranking_pipeline.learning.losses import make_loss
from ranking_pipeline.learning.losses.base import mean_over_days

ROUNDS = 7
# Names of a bar -> bars of a batch.
PAIR_SIZES = {500: 32, 5000: 8, 20000: 1}
N_BARS, N_NAMES = 32, 500
VALID_SHARE = 0.82
_MIXTURE = {"terms": {"pairwise": 1.0, "ic": 1.0}}

# Scores and targets of the valid names of one bar -> value.
DayLoss = Callable[[Tensor, Tensor], Tensor]


def run(rounds: int | None) -> list[Row]:
    """Measure each case; ours and the peer alternate."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [*_pair_rows(rounds or ROUNDS), *_loss_rows(rounds or ROUNDS)]
    finally:
        torch.set_num_threads(threads)


def _pair_rows(rounds: int) -> list[Row]:
    rows = []
    naive = sampled_pairs_loss(max_pairs=100)
    for label, parameters in (("100", {"max_pairs": 100}), ("all", {})):
        for names, bars in PAIR_SIZES.items():
            if label == "100" and names > 5000:
                continue
            ours, peer = _measure("pairwise", parameters, naive, bars, names, rounds)
            rows.append(row(f"{label} pairs M={names}", "ms", ours, peer))
            if label == "all":
                n_pairs = bars * int(names * 0.2) ** 2
                per_pair = [1e6 * value / n_pairs for value in ours]
                rows.append(row(f"all pairs M={names} rate", "ns/pair", per_pair))
    return rows


def _loss_rows(rounds: int) -> list[Row]:
    cases: dict[str, tuple[dict[str, Any], NaiveLoss | None]] = {
        "pairwise_hinge": ({}, _by_day(_hinge)),
        "listwise": ({"temperature": 1.0}, listnet_loss()),
        "listmle": ({}, _by_day(_listmle)),
        "pointwise": ({}, _by_day(lambda s, t: (s - t).square().mean())),
        "huber": ({}, _by_day(functional.huber_loss)),
        "ic": ({}, _by_day(_ic)),
        "spearman": ({}, _by_day(_spearman)),
        "lambdarank": ({}, _by_day(_lambdarank)),
        "approx_ndcg": ({}, _by_day(_approx_ndcg)),
        "neural_ndcg": ({}, None),
        "mixture": (_MIXTURE, None),
    }
    rows = []
    for name, (parameters, naive) in cases.items():
        ours, peer = _measure(name, parameters, naive, N_BARS, N_NAMES, rounds)
        rows.append(row(f"{name} M={N_NAMES}", "ms", ours, peer))
    return rows


def _measure(
    name: str,
    parameters: dict[str, Any],
    naive: NaiveLoss | None,
    bars: int,
    names: int,
    rounds: int,
) -> tuple[list[float], list[float]]:
    """Milliseconds of value and gradient per batch, ours and the peer's."""
    scores, targets, mask = _batch(bars, names)
    loss = make_loss(name, **parameters)
    tables = loss.tables(targets, mask)

    def ours(leaf: Tensor) -> Tensor:
        return mean_over_days(*loss.per_day(leaf, tables))

    def peer(leaf: Tensor) -> Tensor:
        assert naive is not None
        return naive(leaf, targets, mask)

    sides = [ours] if naive is None else [ours, peer]
    found: list[list[float]] = [[], []]
    for _ in range(rounds + 1):
        for place, side in enumerate(sides):
            found[place].append(_milliseconds(side, scores))
    return found[0][1:], found[1][1:]


def _milliseconds(loss: Callable[[Tensor], Tensor], scores: Tensor) -> float:
    leaf = scores.clone().requires_grad_()
    repeats, started = 0, time.process_time()
    while repeats < 1 or time.process_time() - started < 0.02:
        loss(leaf).backward()  # type: ignore[no-untyped-call]
        repeats += 1
    return 1e3 * (time.process_time() - started) / repeats


def _batch(bars: int, names: int) -> tuple[Tensor, Tensor, Tensor]:
    """Scores, percentile targets and mask, (bars, names); the rest is 0."""
    generator = torch.Generator().manual_seed(0)
    shape = (bars, names)
    mask = torch.rand(shape, generator=generator) < VALID_SHARE
    scores = torch.randn(shape, generator=generator)
    targets = torch.rand(shape, generator=generator)
    return torch.where(mask, scores, 0.0), torch.where(mask, targets, 0.0), mask


def _by_day(day_loss: DayLoss) -> NaiveLoss:
    def loss(scores: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
        values = [
            day_loss(score[valid], target[valid])
            for score, target, valid in zip(scores, targets, mask, strict=True)
            if int(valid.sum()) > 1
        ]
        return torch.stack(values).mean()

    return loss


def _hinge(scores: Tensor, targets: Tensor) -> Tensor:
    size = int(len(scores) * 0.2)
    winners, losers = targets.topk(size).indices, (-targets).topk(size).indices
    gap = scores[winners][:, None] - scores[losers][None, :]  # (K, K)
    return functional.relu(1 - gap).mean()


def _listmle(scores: Tensor, targets: Tensor) -> Tensor:
    ordered = scores[targets.argsort(descending=True)]
    return (ordered.flip(0).logcumsumexp(0).flip(0) - ordered).mean()


def _correlation(first: Tensor, second: Tensor) -> Tensor:
    first, second = first - first.mean(), second - second.mean()
    length = first.square().sum().sqrt() * second.square().sum().sqrt()
    return (first * second).sum() / length


def _ic(scores: Tensor, targets: Tensor) -> Tensor:
    return 1 - _correlation(scores, targets)


def _soft_ranks(scores: Tensor) -> Tensor:
    level = (scores - scores.mean()) / scores.std(correction=0)
    return torch.sigmoid((level[:, None] - level[None, :]) / 0.5).sum(dim=1) + 0.5


def _spearman(scores: Tensor, targets: Tensor) -> Tensor:
    return 1 - _correlation(_soft_ranks(scores), _ranks(targets))


def _ranks(values: Tensor) -> Tensor:
    return values.argsort().argsort().to(values.dtype)


def _approx_ndcg(scores: Tensor, targets: Tensor) -> Tensor:
    gains = _ranks(targets) / (len(targets) - 1)
    places = torch.arange(len(gains)) + 2
    ideal = (gains.sort(descending=True).values / places.log2()).sum()
    return 1 - (gains / torch.log2(1 + _soft_ranks(-scores))).sum() / ideal


def _lambdarank(scores: Tensor, targets: Tensor) -> Tensor:
    size = int(len(scores) * 0.2)
    gains, members = _members(targets, size), _members(scores, size)
    gap = gains[:, None] - gains[None, :]  # (n, n)
    change = (members[:, None] - members[None, :]).abs()
    penalty = functional.softplus(scores[None, :] - scores[:, None])
    wanted = gap.clamp(min=0)
    return (wanted * change * penalty).sum() / wanted.sum()


def _members(values: Tensor, size: int) -> Tensor:
    rank = _ranks(values.detach())
    return (rank >= len(rank) - size).float() - (rank < size).float()
