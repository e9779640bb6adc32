"""What every loss is: tables of the targets, made once, and one value per day."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

# Whatever depends on the targets alone, by name; the first axis is the day.
Tables = dict[str, Tensor]
# Name of the table (B,) of what each day counts for, where cells have weights.
DAY_WEIGHTS = "weighted.days"


class CrossSectionLoss(nn.Module, ABC):
    """A loss over whole cross-sections: loss(scores, targets, mask) -> scalar.

    The work is split where the data split: :meth:`tables` sees the targets alone, so
    that the loop calls it once for a block and not in every step; :meth:`per_day` sees
    scores and the rows of those tables. Calling the loss does both.
    """

    def tables(self, targets: Tensor, mask: Tensor) -> Tables:
        """Prepare what depends on the targets alone.

        Parameters
        ----------
        targets : Tensor, shape (B, M)
            Finite everywhere; 0 outside the mask.
        mask : Tensor of bool, shape (B, M)

        Returns
        -------
        dict of Tensor
            The first axis of each is B. A row depends on the same day's targets only.
        """
        return {"targets": targets, "mask": mask}

    def weighted_tables(
        self, targets: Tensor, mask: Tensor, weights: Tensor | None
    ) -> Tables:
        """Prepare the tables of cells that do not count alike.

        A loss that compares the names of a day weighs whole days, by the mean weight of
        their cells: it has no term of one name alone.

        Parameters
        ----------
        targets, mask : Tensor, shape (B, M)
            As :meth:`tables` takes them.
        weights : Tensor, shape (B, M), or None
            0 outside the mask and 1 on average; None: all cells count alike.
        """
        tables = self.tables(targets, mask)
        if weights is None:
            return tables
        count = mask.sum(dim=1).clamp(min=1)
        mean = (weights.to(targets.dtype) * mask).sum(dim=1) / count
        return tables | {DAY_WEIGHTS: mean}

    def weighted_per_day(self, scores: Tensor, tables: Tables) -> tuple[Tensor, Tensor]:
        """Value of each day times what the day counts for; see :meth:`per_day`.

        Without weights these are the values of :meth:`per_day`, to the last bit.
        """
        value, counted = self.per_day(scores, tables)
        weights = tables.get(DAY_WEIGHTS)
        return (value if weights is None else value * weights), counted

    @abstractmethod
    def per_day(self, scores: Tensor, tables: Tables) -> tuple[Tensor, Tensor]:
        """Compare scores with the tables of the same days.

        Nothing here reads a value of the device.

        Parameters
        ----------
        scores : Tensor of float32 or float64, shape (B, M) or (B, M, K)
            Finite everywhere; 0 outside the mask.
        tables : dict of Tensor
            Rows of :meth:`tables`.

        Returns
        -------
        value : Tensor, shape (B,)
            Loss of each day: a mean over its names or pairs. Finite, also where the
            day is not counted.
        counted : Tensor of bool, shape (B,)
            Days that carry information.
        """

    def without_skill(self, zeros: Tensor, tables: Tables) -> Tensor:
        """Value of each day where all scores are 0, shape (B,).

        Parameters
        ----------
        zeros : Tensor, shape (B, M)
            Those scores.
        tables : dict of Tensor
            Rows of :meth:`tables`.
        """
        return self.per_day(zeros, tables)[0]

    def forward(self, scores: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
        """Mean over the days that are counted; 0, with a graph, where none is.

        Parameters
        ----------
        scores : Tensor, shape (B, M) or (B, M, K)
        targets : Tensor, shape (B, M)
        mask : Tensor of bool, shape (B, M)
        """
        return mean_over_days(*self.days(scores, targets, mask))

    def days(
        self,
        scores: Tensor,
        targets: Tensor,
        mask: Tensor,
        weights: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Make the tables and compare: value and counted of :meth:`weighted_per_day`.

        Padded slots may hold anything, NaN included: they change nothing and their
        gradient is exactly zero. Half-precision scores are widened: in bfloat16 whole
        cross-sections would tie.

        Parameters
        ----------
        scores : Tensor, shape (B, M) or (B, M, K)
        targets : Tensor, shape (B, M)
        mask : Tensor of bool, shape (B, M)
        weights : Tensor, shape (B, M), or None
            Of :meth:`weighted_tables`.
        """
        known = mask & torch.isfinite(targets)
        wide = widened(scores)
        inside = known if scores.dim() == targets.dim() else known.unsqueeze(-1)
        shown = torch.where(known, targets, 0.0).to(wide.dtype)
        tables = self.weighted_tables(shown, known, weights)
        return self.weighted_per_day(torch.where(inside, wide, 0.0), tables)


def widened(scores: Tensor) -> Tensor:
    """Scores in float32, or float64 where they are."""
    return scores if scores.dtype == torch.float64 else scores.float()


def mean_over_days(per_day: Tensor, counted: Tensor) -> Tensor:
    """Mean of ``per_day`` (B,) over the days that carry information; 0 when none does.

    Days weigh the same whatever their number of names, or big days would rule.
    """
    kept = per_day.masked_fill(~counted, 0.0)
    return kept.sum() / counted.sum().clamp(min=1)
