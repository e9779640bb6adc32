"""Losses by name: loss(scores (B, M), targets (B, M), mask (B, M)) -> scalar."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from ranking_pipeline.errors import UserError
from ranking_pipeline.learning.loss_names import LOSS_ALIASES
from ranking_pipeline.learning.losses.approx_ndcg import ApproxNDCG
from ranking_pipeline.learning.losses.base import CrossSectionLoss
from ranking_pipeline.learning.losses.correlation import InformationCoefficient
from ranking_pipeline.learning.losses.lambdarank import LambdaRank
from ranking_pipeline.learning.losses.listmle import ListMLE
from ranking_pipeline.learning.losses.listwise import ListwiseSoftmax
from ranking_pipeline.learning.losses.mixture import Mixture
from ranking_pipeline.learning.losses.neural_ndcg import NeuralNDCG
from ranking_pipeline.learning.losses.pairwise import PairwiseHinge, PairwiseLogistic
from ranking_pipeline.learning.losses.pointwise import (
    CrossEntropy,
    Huber,
    SquaredError,
)
from ranking_pipeline.learning.losses.spearman import SoftSpearman
from ranking_pipeline.learning.losses.user_function import UserFunction

_LOSSES: dict[str, type[CrossSectionLoss]] = {
    "pairwise": PairwiseLogistic,
    "pairwise_hinge": PairwiseHinge,
    "listwise": ListwiseSoftmax,
    "listmle": ListMLE,
    "pointwise": SquaredError,
    "huber": Huber,
    "ic": InformationCoefficient,
    "spearman": SoftSpearman,
    "lambdarank": LambdaRank,
    "approx_ndcg": ApproxNDCG,
    "neural_ndcg": NeuralNDCG,
    "cross_entropy": CrossEntropy,
}
_MIXTURE = "mixture"


def loss_names() -> list[str]:
    """List the canonical names that :func:`make_loss` knows."""
    return sorted([*_LOSSES, _MIXTURE])


def canonical_loss(name: str) -> str:
    """Give the canonical form of a loss name or alias.

    The import path ``package.module:function`` of a user's loss is its own name.

    Raises
    ------
    UserError
        When the name is unknown.
    """
    known = LOSS_ALIASES.get(name, name)
    if known not in loss_names() and ":" not in known:
        raise UserError(
            f"loss.type is {name!r}; use one of "
            f"{', '.join(sorted([*loss_names(), *LOSS_ALIASES]))}, or "
            "package.module:function of your own."
        )
    return known


def loss_parameters(name: str) -> list[str]:
    """Names of the parameters that a loss takes.

    A mixture takes ``terms``, and what any loss takes: each term gets its own.
    """
    known = canonical_loss(name)
    if ":" in known:
        return []
    if known == _MIXTURE:
        return ["terms", *dict.fromkeys(p for n in _LOSSES for p in loss_parameters(n))]
    taken = inspect.signature(_LOSSES[known]).parameters.values()
    # A loss without parameters inherits (*args, **kwargs) from torch's modules.
    return [p.name for p in taken if p.kind is p.POSITIONAL_OR_KEYWORD]


def make_loss(name: str, **parameters: Any) -> CrossSectionLoss:
    """Build a loss by name.

    Every loss takes scores (B, M) [(B, M, K) for ``cross_entropy``], targets (B, M) and
    a boolean mask (B, M), and returns a scalar: the mean over the names or pairs of a
    day, then over the days that carry information. Padded slots may hold anything, NaN
    included; they change nothing and their gradient is exactly zero. Without a counted
    day the loss is 0 and still has a graph.

    Parameters
    ----------
    name : str
        One of :func:`loss_names`, an alias, or ``package.module:function``.
    **parameters
        Of that loss, see :func:`loss_parameters`; None stands for its own default.

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
    given = {key: value for key, value in parameters.items() if value is not None}
    canonical = canonical_loss(name)
    if ":" in canonical:
        return UserFunction(canonical)
    if canonical == _MIXTURE:
        return _make_mixture(**given)
    return _LOSSES[canonical](**given)


def _make_mixture(
    terms: Mapping[str, float] | None = None, **shared: Any
) -> CrossSectionLoss:
    if not isinstance(terms, Mapping) or not terms:
        raise UserError(
            f"loss.terms is {terms!r}; a mixture needs losses and their weights, such "
            "as {pairwise: 1.0, ic: 0.5}."
        )
    losses = {}
    for name, weight in terms.items():
        if canonical_loss(name) in {_MIXTURE, "cross_entropy"}:
            raise UserError(f"loss.terms names {name!r}, which cannot be mixed.")
        taken = set(loss_parameters(name)) & set(shared)
        losses[name] = (weight, make_loss(name, **{key: shared[key] for key in taken}))
    return Mixture(losses)
