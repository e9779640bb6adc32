"""Losses by name: loss(scores (B, M), targets (B, M), mask (B, M)) -> scalar."""

from __future__ import annotations

import inspect
from typing import Any

from torch import nn

from ranking_pipeline.errors import UserError
from ranking_pipeline.learning.losses.correlation import InformationCoefficient
from ranking_pipeline.learning.losses.listwise import ListwiseSoftmax
from ranking_pipeline.learning.losses.pairwise import PairwiseHinge, PairwiseLogistic
from ranking_pipeline.learning.losses.pointwise import (
    CrossEntropy,
    Huber,
    SquaredError,
)

_LOSSES: dict[str, type[nn.Module]] = {
    "pairwise": PairwiseLogistic,
    "pairwise_hinge": PairwiseHinge,
    "listwise": ListwiseSoftmax,
    "pointwise": SquaredError,
    "huber": Huber,
    "ic": InformationCoefficient,
    "cross_entropy": CrossEntropy,
}
_ALIASES = {
    "pairwise_logistic": "pairwise",
    "listwise_softmax": "listwise",
    "mse": "pointwise",
}


def loss_names() -> list[str]:
    """List the canonical names that :func:`make_loss` knows."""
    return sorted(_LOSSES)


def canonical_loss(name: str) -> str:
    """Give the canonical form of a loss name or alias.

    Raises
    ------
    UserError
        When the name is unknown.
    """
    known = _ALIASES.get(name, name)
    if known not in _LOSSES:
        raise UserError(
            f"loss.type is {name!r}; use one of "
            f"{', '.join(sorted([*_LOSSES, *_ALIASES]))}."
        )
    return known


def loss_parameters(name: str) -> list[str]:
    """Names of the parameters that a loss takes."""
    return list(inspect.signature(_LOSSES[canonical_loss(name)]).parameters)


def make_loss(name: str, **parameters: Any) -> nn.Module:
    """Build a loss by name.

    Every loss takes scores (B, M) [(B, M, K) for ``cross_entropy``], targets (B, M) and
    a boolean mask (B, M), and returns a scalar: the mean over the names or pairs of a
    day, then over the days that carry information. Padded slots may hold anything, NaN
    included; they change nothing and their gradient is exactly zero. Without a counted
    day the loss is 0 and still has a graph.

    Raises
    ------
    UserError
        When the name or a parameter is unknown, or a value is out of range.
    """
    known = loss_parameters(name)
    unknown = sorted(set(parameters) - set(known))
    if unknown:
        raise UserError(
            f"loss {name!r} does not take {', '.join(unknown)}; "
            f"it takes {', '.join(known) or 'no parameter'}."
        )
    return _LOSSES[canonical_loss(name)](**parameters)
