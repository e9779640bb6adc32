"""What all losses share: masking before any arithmetic, and the mean over days."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


def masked(
    scores: Tensor, targets: Tensor, mask: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Replace the padded slots by zeros, so that nothing stored there can spread.

    Half-precision scores are widened: in bfloat16 whole cross-sections would tie. The
    gradient of a padded slot is exactly zero, even where it holds NaN.

    Parameters
    ----------
    scores : Tensor, shape (B, M) or (B, M, K)
    targets : Tensor, shape (B, M)
    mask : Tensor of bool, shape (B, M)

    Returns
    -------
    scores, targets, mask
        The mask without the slots whose target is not finite.
    """
    known = mask & torch.isfinite(targets)
    wide = scores if scores.dtype == torch.float64 else scores.float()
    inside = known if scores.dim() == targets.dim() else known.unsqueeze(-1)
    return (
        torch.where(inside, wide, 0.0),
        torch.where(known, targets, 0.0).to(wide.dtype),
        known,
    )


def varies(values: Tensor, mask: Tensor) -> Tensor:
    """Rows (B,) with at least two different values inside the mask."""
    highest = torch.where(mask, values, -torch.inf).amax(dim=1)
    lowest = torch.where(mask, values, torch.inf).amin(dim=1)
    return highest > lowest


def row_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of each row over its mask, shape (B,); 0 where the mask is empty."""
    return torch.where(mask, values, 0.0).sum(dim=1) / mask.sum(dim=1).clamp(min=1)


def mean_over_days(per_day: Tensor, counted: Tensor) -> Tensor:
    """Mean of ``per_day`` (B,) over the days that carry information; 0 when none does.

    Days weigh the same whatever their number of names, or big days would rule.
    """
    kept = torch.where(counted, per_day, 0.0)
    return kept.sum() / counted.sum().clamp(min=1)
