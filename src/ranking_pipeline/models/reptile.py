"""Reptile: start weights from which a few steps on the rows of one task go far.

References
----------
Nichol, Achiam and Schulman (2018), on first-order meta-learning algorithms.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap
from torch.nn import functional

from ranking_pipeline.learning.cross_sections import Batch, CrossSections
from ranking_pipeline.learning.windows import ResidentRows

Weights = dict[str, Tensor]


class Tasks(NamedTuple):
    """Rows of G tasks, padded to M rows each.

    Attributes
    ----------
    inputs : Tensor, shape (G, M, F)
    targets : Tensor, shape (G, M)
        Numbers, or codes of classes.
    row_weights : Tensor, shape (G, M)
        What each row counts for, 1 on average over all tasks; 0 where a row is padding.
    """

    inputs: Tensor
    targets: Tensor
    row_weights: Tensor


@dataclass(frozen=True)
class InnerLoop:
    """Plain gradient steps on the rows of each task, all tasks at once.

    Step j of k takes every k-th row from row j on: steps on different rows of a task
    are what lets Reptile find weights that adapt well, not only weights that fit.

    Parameters
    ----------
    network : nn.Module
        (M, 1, F) -> (M, K); its own weights are not touched. A single output learns
        numbers by Huber's loss, several learn classes by cross-entropy.
    steps : int
    rate : float
        Step size.
    """

    network: nn.Module
    steps: int
    rate: float

    def adapt(self, start: Weights, tasks: Tasks) -> tuple[Weights, Tensor]:
        """Move a copy of the start weights by the steps of each task.

        Returns
        -------
        own : dict of Tensor, shape (G, ...)
            Weights of each task.
        loss : Tensor, 0-dimensional
            Mean over tasks and steps, each before its step.
        """
        n_tasks = len(tasks.inputs)
        own = {name: w.expand(n_tasks, *w.shape) for name, w in start.items()}
        slope = vmap(grad_and_value(self._loss))
        losses = []
        for step in range(self.steps):
            slopes, loss = slope(own, *(part[:, step :: self.steps] for part in tasks))
            own = {name: w - self.rate * slopes[name] for name, w in own.items()}
            losses.append(loss)
        return own, torch.stack(losses).mean()

    def told(self, own: Weights, inputs: Tensor) -> Tensor:
        """Outputs (G, M, K) of each task's own weights for its inputs (G, M, F)."""
        outputs: Tensor = vmap(self._outputs)(own, inputs)
        return outputs

    def _outputs(self, weights: Weights, inputs: Tensor) -> Tensor:
        outputs: Tensor = functional_call(self.network, weights, (inputs.unsqueeze(1),))
        return outputs

    def _loss(
        self, weights: Weights, inputs: Tensor, targets: Tensor, row_weights: Tensor
    ) -> Tensor:
        errors = row_losses(self._outputs(weights, inputs), targets)
        # Not by the sum of the weights: a task of little weight takes short steps.
        return (errors * row_weights).sum() / (row_weights > 0).sum().clamp(min=1)


def start_of(network: nn.Module) -> Weights:
    """Weights of a network, to be moved outside of it."""
    return {name: weight.detach() for name, weight in network.named_parameters()}


def row_losses(outputs: Tensor, targets: Tensor) -> Tensor:
    """Loss (M,) of outputs (M, K): Huber's for K = 1, otherwise cross-entropy."""
    if outputs.shape[1] == 1:
        return functional.huber_loss(outputs[:, 0], targets, reduction="none")
    return functional.cross_entropy(outputs, targets.long(), reduction="none")


@torch.no_grad()
def move_towards(start: nn.Module, own: Weights, rate: float) -> None:
    """Outer step: theta += rate * (mean over tasks of phi - theta), in place."""
    for name, weight in start.named_parameters():
        weight.add_(own[name].mean(dim=0) - weight, alpha=rate)


def task_block(
    inputs: npt.NDArray[np.float32],
    targets: npt.NDArray[np.floating],
    row_weights: npt.NDArray[np.floating],
    task: npt.NDArray[np.intp],
    device: torch.device,
) -> CrossSections:
    """Lay rows out as a block whose bars are tasks: the loop then draws whole tasks.

    Parameters
    ----------
    inputs : ndarray, shape (n, F)
    targets, row_weights : ndarray, shape (n,)
    task : ndarray of int, shape (n,)
        From 0; rows of a task keep their order.
    device : torch.device
    """
    place = places(task)
    shape = (int(task.max()) + 1, int(place.max()) + 1)
    cells = np.zeros(shape, dtype=np.bool_)
    cells[task, place] = True
    matrices = np.full((2, *shape), np.nan)
    matrices[:, task, place] = targets, row_weights
    rows = ResidentRows.build(inputs, task, place, shape, device)
    return CrossSections.build(rows, matrices[0], cells, 1, matrices[1])


def tasks_of(block: CrossSections, batch: Batch) -> Tasks:
    """Rows of the tasks of a batch of :func:`task_block`."""
    assert block.weights is not None
    inputs = batch.layout.spread(batch.windows().squeeze(1))
    return Tasks(
        inputs,
        block.targets.index_select(0, batch.rows),
        block.weights.index_select(0, batch.rows),
    )


def places(task: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """Place of each row among the rows of its task, from 0, in the order given."""
    order = np.argsort(task, kind="stable")
    ordered = task[order]
    first = np.searchsorted(ordered, ordered)
    place = np.empty(len(task), dtype=np.intp)
    place[order] = np.arange(len(task)) - first
    return place


def padded(
    values: npt.NDArray[np.float32], task: npt.NDArray[np.intp], n_tasks: int
) -> Tensor:
    """Lay values (n, ...) of rows out as (n_tasks, M, ...); 0 where there is no row."""
    place = places(task)
    longest = int(place.max(initial=0)) + 1
    laid = np.zeros((n_tasks, longest, *values.shape[1:]), dtype=np.float32)
    laid[task, place] = values
    return torch.from_numpy(laid)
