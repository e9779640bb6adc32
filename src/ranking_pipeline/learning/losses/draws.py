"""Drawn pairs: a seeded sample instead of all pairs, as older systems train."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ranking_pipeline.learning.losses.pairs import Penalty, padded_scores


class SeededDraws(nn.Module):
    """Uniform draws of its own; where they stand is part of the module's state.

    Parameters
    ----------
    seed : int
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed
        self._state = torch.empty(0, dtype=torch.uint8)
        self._generator: torch.Generator | None = None

    def draws(self, shape: tuple[int, ...], device: torch.device) -> Tensor:
        """Next numbers in [0, 1), made on the device."""
        if self._generator is None or self._generator.device != device:
            self._generator = torch.Generator(device).manual_seed(self.seed)
            if len(self._state):
                self._generator.set_state(self._state)
        return torch.rand(shape, generator=self._generator, device=device)

    def get_extra_state(self) -> Tensor:
        """State of the generator, on the CPU; empty before the first draw."""
        return self._state if self._generator is None else self._generator.get_state()

    def set_extra_state(self, state: Tensor) -> None:
        """Continue the draws where ``state`` was taken."""
        self._state, self._generator = state.cpu(), None


def sum_over_draws(
    scores: Tensor,
    slots: Tensor,
    penalty: Penalty,
    margin: float = 0.0,
    weight: Tensor | None = None,
) -> Tensor:
    """Sum the penalty over the drawn pairs of each day.

    Parameters
    ----------
    scores : Tensor, shape (B, M)
    slots : Tensor of int64, shape (B, 2 P)
        Slots of P winners, then of P losers; M and M + 1 where there is none.
    penalty : callable
    margin : float
    weight : Tensor, shape (B, P), optional

    Returns
    -------
    Tensor, shape (B,)
    """
    total: Tensor = _DrawSum.apply(  # type: ignore[no-untyped-call]
        scores, slots, penalty, margin, weight
    )
    return total


class _DrawSum(torch.autograd.Function):
    """Value and gradient together."""

    @staticmethod
    def forward(
        ctx: Any,
        scores: Tensor,
        slots: Tensor,
        penalty: Penalty,
        margin: float,
        weight: Tensor | None,
    ) -> Tensor:
        padded = padded_scores(scores)
        winners, losers = padded.gather(1, slots).chunk(2, dim=1)  # (B, P) each
        excess = losers - winners
        value, slope = penalty(excess + margin if margin else excess)
        if weight is not None:
            value, slope = value * weight, slope * weight
        slopes = torch.cat([-slope, slope], dim=1)
        gradient = torch.zeros_like(padded).scatter_add_(1, slots, slopes)
        ctx.save_for_backward(gradient[:, : scores.shape[1]])
        return value.sum(dim=1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return gradient * gradients[0].unsqueeze(1), None, None, None, None
