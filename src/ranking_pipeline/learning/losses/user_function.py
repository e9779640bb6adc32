"""A user's own loss, named by its import path."""

from __future__ import annotations

import importlib
from collections.abc import Callable

import torch
from torch import Tensor

from ranking_pipeline.errors import UserError
from ranking_pipeline.learning.losses.base import CrossSectionLoss, Tables
from ranking_pipeline.learning.losses.common import varies

LossFunction = Callable[[Tensor, Tensor, Tensor], Tensor]
_FORM = "(scores (B, M), targets (B, M), mask (B, M)) -> (B,) or a scalar"


class UserFunction(CrossSectionLoss):
    """A function of scores, targets and mask, loaded from ``package.module:function``.

    It is given finite numbers, 0 outside the mask, and returns one value per day or a
    scalar. A day whose targets are all equal is not counted; a function may be shown
    such days, and may return anything for them.

    Parameters
    ----------
    path : str
        ``package.module:function``.

    Raises
    ------
    UserError
        When it cannot be imported, fails on a small example, or returns something that
        is no differentiable, finite value per day.

    Notes
    -----
    A function with one value per day is called once per batch, and a row of its answer
    must depend on that row alone. One that returns a scalar is called once per day, so
    that days weigh the same; that costs B calls.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path
        self._function = _load(path)
        self._is_per_day = _try(path, self._function)

    def tables(self, targets: Tensor, mask: Tensor) -> Tables:
        """Targets, mask, and the days that have an order."""
        return {"targets": targets, "mask": mask, "counted": varies(targets, mask)}

    def per_day(self, scores: Tensor, tables: Tables) -> tuple[Tensor, Tensor]:
        """Value of each day, 0 where it is not counted."""
        counted, targets, mask = tables["counted"], tables["targets"], tables["mask"]
        # NaN on a day without an order must not reach the gradient.
        shown = torch.where(counted.unsqueeze(1), scores, scores.detach())
        try:
            value = self._values(shown, targets, mask)
        # A user's function may fail in any way, on real shapes only.
        except Exception as error:
            raise UserError(
                f"loss.type {self.path!r} fails on scores of shape "
                f"{tuple(scores.shape)} ({type(error).__name__}: {error}); it must be "
                f"{_FORM}."
            ) from error
        if value.shape != counted.shape:
            raise UserError(
                f"loss.type {self.path!r} returns {tuple(value.shape)} for "
                f"{len(counted)} days; it must be {_FORM}."
            )
        return torch.where(counted, value, 0.0).to(scores.dtype), counted

    def _values(self, scores: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
        if self._is_per_day:
            return self._function(scores, targets, mask)
        rows = [slice(place, place + 1) for place in range(len(scores))]
        days = [self._function(scores[r], targets[r], mask[r]) for r in rows]
        return torch.stack(days)  # (B,)


def _load(path: str) -> LossFunction:
    module, _, name = path.partition(":")
    try:
        function = getattr(importlib.import_module(module), name)
    # A user's module may fail in any way when it is imported.
    except Exception as error:
        raise UserError(
            f"loss.type is {path!r}, which cannot be imported "
            f"({type(error).__name__}: {error}); use package.module:function of a "
            "module on the Python path."
        ) from error
    if not callable(function):
        raise UserError(f"loss.type is {path!r}, which is no function {_FORM}.")
    return function  # type: ignore[no-any-return]


def _try(path: str, function: LossFunction) -> bool:
    """Call the function on two small days; True when it gives a value for each."""
    scores = torch.tensor([[0.3, -0.2, 0.1, 0.0], [0.5, 0.2, -0.4, 0.0]])
    targets = torch.tensor([[0.2, 0.4, 0.8, 0.0], [0.75, 0.25, 0.5, 0.0]])
    mask = torch.tensor([[True, True, True, False]] * 2)
    leaf = scores.requires_grad_()
    try:
        value = function(leaf, targets, mask)
    except Exception as error:
        raise UserError(
            f"loss.type {path!r} fails on a small example "
            f"({type(error).__name__}: {error}); it must be {_FORM}."
        ) from error
    found = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
    if not isinstance(value, Tensor) or found not in {(), (2,)}:
        raise UserError(
            f"loss.type {path!r} returns {found} for two days; it must be {_FORM}."
        )
    if not value.requires_grad or not value.is_floating_point():
        raise UserError(
            f"loss.type {path!r} returns a value without a gradient to the scores."
        )
    (gradient,) = torch.autograd.grad(value.sum(), leaf, allow_unused=True)
    usable = gradient is not None and bool(torch.isfinite(gradient).all())
    if not usable or not bool(torch.isfinite(value).all()):
        raise UserError(
            f"loss.type {path!r} gives a value or gradient that is not finite on a "
            "small example."
        )
    return value.dim() == 1
