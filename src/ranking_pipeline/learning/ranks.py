"""Average ranks inside each cross-section, on the device."""

from __future__ import annotations

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
    filled = torch.where(mask, values, torch.inf).contiguous()
    ordered = filled.sort(dim=1).values
    below = torch.searchsorted(ordered, filled, right=False)
    up_to = torch.searchsorted(ordered, filled, right=True)
    return (below + up_to + 1).double() / 2


def normal_scores(values: Tensor, mask: Tensor) -> Tensor:
    """Probit of (rank - 1/2) / n inside each row, float32; 0 outside the mask.

    Source: Blom (1958), normal scores of ranks.
    """
    count = mask.sum(dim=1, keepdim=True).clamp(min=1)
    share = (average_ranks(values, mask) - 0.5) / count
    scores: Tensor = torch.special.ndtri(torch.where(mask, share, 0.5))
    return scores.float()
