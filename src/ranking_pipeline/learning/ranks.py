"""Average ranks inside each cross-section, on the device."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def average_ranks(values: Tensor, mask: Tensor) -> Tensor:
    """Ranks 1 ... n of the masked-in slots of each row; ties share their mean rank.

    Parameters
    ----------
    values : Tensor, shape (B, M)
        Finite where ``mask`` is set; anything elsewhere.
    mask : Tensor of bool, shape (B, M)

    Returns
    -------
    Tensor of float64, shape (B, M); meaningless outside the mask.
    """
    return (_doubled_ranks(values, mask) + 1).double() / 2


def unit_ranks(
    values: Tensor, mask: Tensor, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Average ranks of each row, centred and scaled to length one.

    The product of two such rows is their Spearman correlation.

    Parameters
    ----------
    values : Tensor, shape (B, M)
        Finite where ``mask`` is set; anything elsewhere.
    mask : Tensor of bool, shape (B, M)
    dtype : torch.dtype
        Of the result; the arithmetic is in float64.

    Returns
    -------
    Tensor, shape (B, M)
        0 outside the mask; a row that is empty or tied throughout is all 0.
    """
    count = mask.sum(dim=1, keepdim=True)  # (B, 1)
    # Twice a rank less n + 1, an integer: rows that tie throughout are exactly 0.
    centred = torch.where(mask, _doubled_ranks(values, mask) - count, 0).double()
    length = centred.square().sum(dim=1, keepdim=True).sqrt().clamp(min=1.0)
    return (centred / length).to(dtype)


def rank_ic_with(
    scores: Tensor, unit_target_ranks: Tensor, mask: Tensor
) -> tuple[Tensor, Tensor]:
    """Spearman correlation of each row with targets whose ranks are prepared.

    Parameters
    ----------
    scores : Tensor, shape (B, M)
        Finite where ``mask`` is set; anything elsewhere. Equal scores share their mean
        rank.
    unit_target_ranks : Tensor, shape (B, M)
        Of :func:`unit_ranks`, for the same mask.
    mask : Tensor of bool, shape (B, M)

    Returns
    -------
    correlation : Tensor of float64, shape (B,)
        0 where it is not defined.
    defined : Tensor of bool, shape (B,)
        False where the scores or the targets of a row are all equal.
    """
    own = unit_ranks(scores.detach(), mask, torch.float64)
    defined = own.any(dim=1) & unit_target_ranks.any(dim=1)
    return (own * unit_target_ranks).sum(dim=1), defined


def tie_bounds(values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """How many names of the row are below each, and how many are not above it.

    Their difference is the number of names that share the value.

    Returns
    -------
    below, up_to : Tensor of int32, shape (B, M)
        Meaningless outside the mask.
    """
    slots, below, up_to = _runs(values, mask)
    return _at_slots(slots, below), _at_slots(slots, up_to)


def normal_scores(values: Tensor, mask: Tensor) -> Tensor:
    """Probit of (rank - 1/2) / n inside each row, float32; 0 outside the mask.

    Source: Bliss (1967), rankits.
    """
    count = mask.sum(dim=1, keepdim=True).clamp(min=1)
    share = (average_ranks(values, mask) - 0.5) / count
    scores: Tensor = torch.special.ndtri(torch.where(mask, share, 0.5))
    return scores.float()


def _doubled_ranks(values: Tensor, mask: Tensor) -> Tensor:
    """Twice the average rank less one, an integer, int32, shape (B, M)."""
    slots, below, up_to = _runs(values, mask)
    return _at_slots(slots, below + up_to)


def _runs(values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Sort each row and find where the run of equal values at each place begins.

    Returns
    -------
    slots : Tensor of int64, shape (B, M)
        Slot at each place; those outside the mask come last.
    first, stop : Tensor of int32, shape (B, M)
        The run of each place is first ... stop - 1.
    """
    n_names = values.shape[1]
    ordered, slots = _sorted(torch.where(mask, values, torch.inf))
    # A run begins where a value differs from the one before; a search of each value
    # would take four times the sort.
    edge = mask.new_ones((len(mask), n_names + 1))
    edge[:, 1:n_names] = ordered[:, 1:] != ordered[:, :-1]
    place = torch.arange(n_names, dtype=torch.int32, device=values.device)
    both = torch.stack([edge, edge.flip(1)])[:, :, :-1]  # from the left, the right
    first, back = (both * place).cummax(dim=2).values
    return slots, first, n_names - back.flip(1)


def _sorted(values: Tensor) -> tuple[Tensor, Tensor]:
    """Values (B, M) in ascending order and their slots; equal values in any order.

    On a CPU numpy sorts, several times faster than torch does there.
    """
    if values.device.type != "cpu":
        ordered, slots = values.sort(dim=1)
        return ordered, slots
    slots = torch.from_numpy(np.argsort(values.detach().numpy(), axis=1))
    return values.gather(1, slots), slots


def _at_slots(slots: Tensor, at_places: Tensor) -> Tensor:
    """Bring what belongs to places (B, M) to the slots."""
    return torch.empty_like(at_places).scatter_(1, slots, at_places)
