"""Soft ranks: ranks counted by sigmoids, so that they have a gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ranking_pipeline.learning.losses.common import unit_rows

# Pairs held at once.
_PAIRS_PER_CHUNK = 1 << 18


def standardised(scores: Tensor, weights: Tensor) -> Tensor:
    """Scores of each day with mean 0 and deviation 1 (ddof 0), differentiably.

    Sigmoids of raw differences saturate once scores grow, and with them the gradient;
    standardised scores have a spread, whatever the scale. They are at most sqrt(n).

    Parameters
    ----------
    scores : Tensor, shape (B, M)
        0 outside the mask.
    weights : Tensor, shape (B, M)
        Of :func:`~ranking_pipeline.learning.losses.common.mean_weights`.

    Returns
    -------
    Tensor, shape (B, M); 0 outside the mask, and on days whose scores are all equal.
    """
    count = (weights > 0).sum(dim=1, keepdim=True)
    return unit_rows(scores, weights) * count.to(scores.dtype).sqrt()


def soft_ranks(values: Tensor, weights: Tensor, temperature: float) -> Tensor:
    """1/2 + sum over j of sigmoid((v_i - v_j) / temperature): 1 is the lowest.

    As the temperature falls these tend to average ranks, ties included.

    Parameters
    ----------
    values : Tensor, shape (B, M)
        Finite everywhere.
    weights : Tensor, shape (B, M)
        Above 0 for the names of the day. The rest counts for nothing; its own ranks
        are finite and mean nothing.
    temperature : float

    Returns
    -------
    Tensor, shape (B, M)

    Notes
    -----
    Cost: M² / 2 sigmoids a day forward, and again backward; both in chunks, so that
    memory stays flat.

    Source: Qin, Liu and Li (2010), approximation of positions.
    """
    ranks: Tensor = _SoftRanks.apply(  # type: ignore[no-untyped-call]
        values, weights > 0, temperature
    )
    return ranks


class _SoftRanks(torch.autograd.Function):
    """Each pair is looked at once: what i is to j tells what j is to i.

    Sigmoids are computed again in the backward pass, not kept.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor, mask: Tensor, temperature: float) -> Tensor:
        own, there = values / temperature, mask.to(values.dtype).unsqueeze(2)
        ranks = torch.full_like(values, 0.5)
        for start, stop in _chunks(values):
            rows = slice(start, stop)
            above = own[:, rows, None] - own[:, None, start:]  # (B, k, M - start)
            above = above.sigmoid_()
            ranks[:, rows] += (above @ there[:, start:]).squeeze(2)
            later = above[:, :, stop - start :].mT  # (B, M - stop, k)
            # The sigmoids of j against i are 1 less those of i against j.
            below = there[:, rows].sum(dim=1) - (later @ there[:, rows]).squeeze(2)
            ranks[:, stop:] += below
        ctx.save_for_backward(own, there)
        ctx.temperature = temperature
        return ranks

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        # The slope of a sigmoid is even: d_ij = d_ji, and the gradient of v_i is
        # sum over j of d_ij (g_i - g_j).
        own, there = ctx.saved_tensors
        gradient = gradients[0].unsqueeze(2) * there  # (B, M, 1)
        both = torch.cat([there, gradient], dim=2)  # (B, M, 2)
        sums = torch.zeros_like(both)
        for start, stop in _chunks(own):
            rows = slice(start, stop)
            gap = own[:, rows, None] - own[:, None, start:]  # (B, k, M - start)
            # From the small side: 1 - sigmoid would lose a small slope.
            small = gap.abs_().neg_().sigmoid_()
            slope = torch.addcmul(small, small, small, value=-1.0)
            sums[:, rows] += slope @ both[:, start:]
            sums[:, stop:] += slope[:, :, stop - start :].mT @ both[:, rows]
        result = (gradient * sums[..., :1] - sums[..., 1:]) * there
        return result.squeeze(2) / ctx.temperature, None, None


def _chunks(values: Tensor) -> list[tuple[int, int]]:
    days, width = values.shape
    step = max(1, _PAIRS_PER_CHUNK // max(1, days * width))
    return [(start, min(start + step, width)) for start in range(0, width, step)]
