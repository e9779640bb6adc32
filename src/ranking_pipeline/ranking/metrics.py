"""Information coefficients per bar, on the device of the scores.

The formulas are those of ``evaluation/metrics.py``, which measures finished
predictions on the host; here the scores are still on the device they come from.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ranking_pipeline.ranking.ordering import CrossSectionOrder, order_of


def measured(scores: Tensor, outcomes: Tensor, mask: Tensor) -> Tensor:
    """Where the mask is set and both values are finite, (B, M)."""
    return mask & torch.isfinite(scores) & torch.isfinite(outcomes)


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
    mask = measured(scores, outcomes, mask)
    return rank_ic_of(order_of(scores, mask), order_of(outcomes, mask), min_symbols)


def rank_ic_of(
    scores: CrossSectionOrder, outcomes: CrossSectionOrder, min_symbols: int = 2
) -> Tensor:
    """:func:`rank_ic` of values that are in order already, under one mask."""
    return _cosine(scores.centred, outcomes.centred, scores.count >= min_symbols)


def pearson_ic(
    scores: Tensor, outcomes: Tensor, mask: Tensor, min_symbols: int = 2
) -> Tensor:
    """Pearson correlation of each bar, in float64.

    Parameters
    ----------
    scores, outcomes : Tensor, shape (B, M)
    mask : Tensor of bool, shape (B, M)
    min_symbols : int

    Returns
    -------
    Tensor of float64, shape (B,); NaN as in :func:`rank_ic`.
    """
    mask = measured(scores, outcomes, mask)
    enough = mask.sum(dim=1) >= min_symbols
    # The rounding of a mean must not give a bar of equal values a variance.
    varied = _varies(scores, mask) & _varies(outcomes, mask)
    return _cosine(_centred(scores, mask), _centred(outcomes, mask), enough & varied)


def _cosine(first: Tensor, second: Tensor, wanted: Tensor) -> Tensor:
    squares = first.square().sum(dim=1) * second.square().sum(dim=1)
    value = ((first * second).sum(dim=1) / squares.sqrt()).clamp(-1.0, 1.0)
    return torch.where(wanted & (squares > 0), value, torch.nan)


def _centred(values: Tensor, mask: Tensor) -> Tensor:
    known = torch.where(mask, values, 0.0).double()
    mean = known.sum(dim=1, keepdim=True) / mask.sum(dim=1, keepdim=True).clamp(min=1)
    return torch.where(mask, known - mean, 0.0)


def _varies(values: Tensor, mask: Tensor) -> Tensor:
    high = torch.where(mask, values, -torch.inf).amax(dim=1)
    return high > torch.where(mask, values, torch.inf).amin(dim=1)
