"""Mixture: a weighted sum of losses, each in units of its value without skill."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ranking_pipeline.errors import UserError
from ranking_pipeline.learning.losses.base import CrossSectionLoss, Tables

# Days at once when the terms are scaled: some of them hold M x M numbers a day.
_DAYS_PER_CHUNK = 64


class Mixture(CrossSectionLoss):
    """Sum of weight times term, each term divided by its own value at equal scores.

    The divisor depends on the day's targets alone, so a day's loss does not depend on
    its batch; a term whose value there is 0 is not divided. A term that does not count
    a day adds 0; a day that no term counts is not counted.

    Parameters
    ----------
    terms : mapping of name to (weight, loss)
    """

    def __init__(self, terms: Mapping[str, tuple[float, CrossSectionLoss]]) -> None:
        super().__init__()
        if not terms:
            raise UserError(
                "loss.terms is empty; name at least one loss and its weight."
            )
        for name, (weight, _) in terms.items():
            if not weight > 0:
                raise UserError(
                    f"loss.terms.{name} is {weight}; use a weight above 0, or leave "
                    "the term out."
                )
        self.weights = [float(weight) for weight, _ in terms.values()]
        self.losses = nn.ModuleList([loss for _, loss in terms.values()])

    def tables(self, targets: Tensor, mask: Tensor) -> Tables:
        """Tables of all terms under ``place.name``, and their divisors."""
        tables: Tables = {}
        for place, loss in enumerate(self._terms()):
            own = loss.tables(targets, mask)
            tables |= {f"{place}.{name}": table for name, table in own.items()}
            tables[f"{place}/scale"] = _without_skill(loss, targets, own)
        return tables

    def per_day(self, scores: Tensor, tables: Tables) -> tuple[Tensor, Tensor]:
        """Weighted sum of the terms of each day."""
        total = scores.new_zeros(len(scores))
        any_counted = torch.zeros_like(total, dtype=torch.bool)
        for place, loss in enumerate(self._terms()):
            prefix = f"{place}."
            own = {
                name.removeprefix(prefix): table
                for name, table in tables.items()
                if name.startswith(prefix)
            }
            value, counted = loss.per_day(scores, own)
            scaled = value * (self.weights[place] / tables[f"{place}/scale"])
            total = total + torch.where(counted, scaled, 0.0)
            any_counted = any_counted | counted
        return total, any_counted

    def _terms(self) -> list[CrossSectionLoss]:
        return [loss for loss in self.losses if isinstance(loss, CrossSectionLoss)]


def _without_skill(loss: CrossSectionLoss, targets: Tensor, tables: Tables) -> Tensor:
    """Value of each day where all scores are 0, shape (B,); 1 where that is 0."""
    parts = []
    with torch.no_grad():
        for start in range(0, len(targets), _DAYS_PER_CHUNK):
            part = slice(start, start + _DAYS_PER_CHUNK)
            rows = {name: table[part] for name, table in tables.items()}
            zeros = torch.zeros_like(targets[part])
            parts.append(loss.without_skill(zeros, rows).abs())
    value = torch.cat(parts) if parts else targets.new_ones(0)
    return torch.where(value > 0, value, 1.0)
