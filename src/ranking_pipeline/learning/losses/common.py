"""What several losses share: slots in the order of the targets, means, unit rows."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ranking_pipeline.errors import UserError


def varies(values: Tensor, mask: Tensor) -> Tensor:
    """Rows (B,) with at least two different values inside the mask."""
    highest = torch.where(mask, values, -torch.inf).amax(dim=1)
    lowest = torch.where(mask, values, torch.inf).amin(dim=1)
    return highest > lowest


def mean_weights(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Weights (B, M) whose product with values sums to their mean over the mask."""
    return mask.to(dtype) / mask.sum(dim=1, keepdim=True).clamp(min=1)


def summed_differences(levels: Tensor, count: Tensor) -> Tensor:
    """Sum of level_i - level_j over places i < j, float64, shape (B,).

    Parameters
    ----------
    levels : Tensor, shape (B, M)
        Meant in the first ``count`` (B, 1) places.
    """
    places = torch.arange(levels.shape[1], device=levels.device)
    # A name is the first of a pair with those behind it, the second with the others.
    signs = torch.where(places < count, count - 1 - 2 * places, 0)
    return (levels.double() * signs).sum(dim=1)


def checked_shares(top_pct: float, bottom_pct: float) -> tuple[float, float]:
    """Refuse shares of the names that are no tails."""
    for key, share in (("top_pct", top_pct), ("bottom_pct", bottom_pct)):
        if not 0 < share <= 0.5:
            raise UserError(f"loss.{key} is {share}; use a share in (0, 0.5].")
    return top_pct, bottom_pct


def checked_temperature(temperature: float) -> float:
    """Refuse a temperature that is not a number above 0."""
    if not 0 < temperature < math.inf:
        raise UserError(f"loss.temperature is {temperature}; use a number above 0.")
    return float(temperature)


def tail_sizes(count: Tensor, share: float) -> Tensor:
    """Names in a tail, floor(n * share), shape (B,)."""
    return torch.floor(count.double() * share + 1e-9).long()


def tail_places(width: int, share: float) -> int:
    """Places that a tail of at most ``width`` names needs, at least one."""
    return max(1, int(width * share + 1e-9))


def sorted_slots(targets: Tensor, mask: Tensor, descending: bool = True) -> Tensor:
    """Slots (B, M) in the order of the targets, ties in slot order, unused ones last."""
    sign = -1.0 if descending else 1.0
    key = torch.where(mask, sign * targets, torch.inf)
    return key.sort(dim=1, stable=True).indices


def as_slots(order: Tensor, used: Tensor, width: int, spare: int) -> Tensor:
    """Keep the first ``used`` (B,) places of ``order`` (B, K), ``spare`` in the rest.

    Returns
    -------
    Tensor of int16 or int32, shape (B, K)
        Small integers: there is one per cell of a block.
    """
    places = torch.arange(order.shape[1], device=order.device)
    kept = torch.where(places < used[:, None], order, spare)
    return kept.to(torch.int16 if width + 2 < 1 << 15 else torch.int32)


def unit_rows(values: Tensor, weights: Tensor) -> Tensor:
    """Centre each row over its names and scale it to length one; zeros stay zero.

    Parameters
    ----------
    values : Tensor, shape (B, M)
        0 outside the mask.
    weights : Tensor, shape (B, M)
        Of :func:`mean_weights`.

    Returns
    -------
    Tensor, shape (B, M); 0 outside the mask, and in rows that do not vary.
    """
    inside = weights > 0
    highest = values.detach().masked_fill(~inside, -torch.inf).amax(dim=1, keepdim=True)
    # Below the highest value, equal values are exactly 0 and so is their mean.
    lower = (values - highest.nan_to_num(neginf=0.0)) * inside
    mean = (lower * weights).sum(dim=1, keepdim=True)
    centred = (lower - mean) * inside
    # Scaling by the largest value first keeps the squares inside the float range.
    tiny = torch.finfo(values.dtype).tiny
    largest = centred.detach().abs().amax(dim=1, keepdim=True).clamp(min=tiny)
    scaled = centred / largest
    length = scaled.square().sum(dim=1, keepdim=True).clamp(min=tiny).sqrt()
    return scaled / length
