"""Cross-sections for the tests of losses, and losses of a user."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ranking_pipeline.learning.losses import make_loss
from ranking_pipeline.learning.losses.base import CrossSectionLoss


def user_mean(scores: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """One value per day; NaN on an empty day."""
    centred = targets - (targets * mask).sum(1, True) / mask.sum(1, True)
    error = (scores - centred).square() + (-scores * centred).exp()
    return (error * mask).sum(dim=1) / mask.sum(dim=1)


def user_scalar(scores: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """A scalar, by boolean indexing; NaN on an empty day."""
    return (scores[mask] - targets[mask]).square().mean()


def user_weak(scores: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    return scores.detach().sum()


def user_shape(scores: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    return scores - targets


def user_nan(scores: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    return (scores * 0).sum() / 0


def user_error(scores: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    raise ValueError("no such day")


def user_late(scores: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Works on the small example, and fails on real shapes."""
    if scores.shape[1] > 4:
        raise ValueError("too many names")
    return user_mean(scores, targets, mask)


def user_late_shape(scores: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """One value per day on the small example, and one per name later."""
    value = (scores - targets).square()
    return value.sum(dim=1) if scores.shape[1] <= 4 else value.sum(dim=0)


def user_double(scores: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """One value per day, in float64 whatever the scores are."""
    return user_mean(scores.double(), targets.double(), mask)


def user_path(function: str = "user_mean") -> str:
    return f"{user_mean.__module__}:{function}"


# What a loss needs to be made, by the name under which the tests know it.
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "pairwise": ("pairwise", {}),
    "pairwise all": ("pairwise", {"pairs": "all"}),
    "pairwise difference": ("pairwise", {"weighting": "difference"}),
    "pairwise_hinge": ("pairwise_hinge", {}),
    "pairwise_hinge all difference": (
        "pairwise_hinge",
        {"pairs": "all", "weighting": "difference"},
    ),
    "listwise": ("listwise", {}),
    "listmle": ("listmle", {}),
    "ic": ("ic", {}),
    "spearman": ("spearman", {}),
    "lambdarank": ("lambdarank", {}),
    "approx_ndcg": ("approx_ndcg", {}),
    "neural_ndcg": ("neural_ndcg", {}),
    "pointwise": ("pointwise", {}),
    "huber": ("huber", {}),
    "mixture": ("mixture", {"terms": {"pairwise": 1.0, "ic": 0.5, "pointwise": 0.3}}),
    "user": (user_path(), {}),
    "user scalar": (user_path("user_scalar"), {}),
}
POINTWISE = ["pointwise", "huber"]
USER = ["user", "user scalar"]
RANKING = [name for name in VARIANTS if name not in POINTWISE]


def loss_of(name: str) -> CrossSectionLoss:
    kind, parameters = VARIANTS[name]
    return make_loss(kind, **parameters)


def day(seed: int, days: int = 3, names: int = 24) -> tuple[Tensor, Tensor, Tensor]:
    """Normal scores; targets that are a permutation of evenly spaced shares."""
    rng = np.random.default_rng([seed, 7])
    scores = torch.tensor(rng.normal(size=(days, names)))
    targets = torch.tensor(
        rng.permuted(np.tile(np.arange(names) + 0.5, (days, 1)), axis=1)
    )
    return scores, targets / names, torch.ones(days, names, dtype=torch.bool)


def value_and_gradient(
    loss: CrossSectionLoss | str, scores: Tensor, targets: Tensor, mask: Tensor
) -> tuple[Tensor, Tensor]:
    made = loss_of(loss) if isinstance(loss, str) else loss
    leaf = scores.clone().requires_grad_()
    value = made(leaf, targets, mask)
    value.backward()
    assert leaf.grad is not None
    return value.detach(), leaf.grad
