"""Training steps: forward, backward, clipping and the update for one batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn

from ranking_pipeline.errors import UserError
from ranking_pipeline.learning.cross_sections import Batch, CrossSections
from ranking_pipeline.learning.dense import SeriesScorer, dense_block
from ranking_pipeline.learning.device import Group, SingleProcess
from ranking_pipeline.learning.layout import Layout
from ranking_pipeline.learning.loop_config import LoopConfig
from ranking_pipeline.learning.losses.base import CrossSectionLoss, Tables, widened
from ranking_pipeline.learning.ranks import rank_ic_with, unit_ranks
from ranking_pipeline.learning.windows import Inputs

# Name of the table (n_bars, S) that the training rank IC needs.
UNIT_RANKS = "loop.unit_ranks"
PRECISIONS = ("float32", "bfloat16")


class StepResult(NamedTuple):
    """Sums over the days of a batch, on the device: 0-dimensional and detached.

    Attributes
    ----------
    loss_sum, n_counted : Tensor
        Loss summed over the days that carry information, and their number.
    ic_sum, n_ic : Tensor
        Rank IC summed over the days that have one, and their number.
    """

    loss_sum: Tensor
    n_counted: Tensor
    ic_sum: Tensor
    n_ic: Tensor


def block_tables(loss: CrossSectionLoss, block: CrossSections) -> Tables:
    """Compute once for a block what its steps need of the targets.

    Returns
    -------
    dict of Tensor
        The first axis of each is the bar. The tables of the loss, and the ranks of the
        targets, centred and of length one, under ``UNIT_RANKS``.
    """
    tables = dict(loss.weighted_tables(block.targets, block.mask, block.weights))
    tables[UNIT_RANKS] = unit_ranks(block.targets, block.mask)
    return tables


class Step(ABC):
    """One step of training: a batch in, sums for the history out.

    Nothing in a step reads a value of the device, so that the host runs ahead of it.

    Parameters
    ----------
    network : nn.Module
        Windows (N, L, C) and layout -> scores (N,) or (N, K).
    loss : CrossSectionLoss
    tables : dict of Tensor
        See :func:`block_tables`; assign ``tables`` anew when the block changes.
    optimizer : torch.optim.Optimizer
    config : LoopConfig
    group : Group
        Processes that each hold some bars of the same global batch; the loss is the
        mean over all of them.
    """

    def __init__(
        self,
        network: nn.Module,
        loss: CrossSectionLoss,
        tables: Tables,
        optimizer: torch.optim.Optimizer,
        config: LoopConfig,
        group: Group = SingleProcess(),  # noqa: B008 - immutable
    ) -> None:
        self.network = network
        self.per_day = loss.weighted_per_day
        self.loss = loss
        self.tables = tables
        self.optimizer = optimizer
        self.config = config
        self.group = group
        self.parameters = [p for p in network.parameters() if p.requires_grad]
        if config.compile:
            refuse_compile(network)
            # dynamic: the number of cells differs from batch to batch.
            self.network = cast(nn.Module, torch.compile(network, dynamic=True))
            self.per_day = torch.compile(loss.weighted_per_day, dynamic=True)

    def __call__(self, batch: Batch) -> StepResult:
        """Take one step."""
        self.optimizer.zero_grad(set_to_none=True)
        if len(batch.layout.counts):
            result = self.backward(batch)
        else:  # fewer bars in the global batch than processes
            result = self._nothing()
        self.update()
        return result

    @abstractmethod
    def backward(self, batch: Batch) -> StepResult:
        """Run the network and the loss, and leave the gradients in the parameters."""

    def update(self) -> None:
        """Sum the gradients over the group, clip them, and move the parameters."""
        if self.group.size > 1:
            _sum_gradients(self.parameters, self.group)
        # foreach: a fixed number of operations, whatever the number of parameters.
        nn.utils.clip_grad_norm_(
            self.parameters, self.config.gradient_clip, foreach=True
        )
        self.optimizer.step()

    def autocast(self, device: torch.device) -> torch.autocast:
        """Let the network alone run in bfloat16, when that is asked for."""
        wanted = self.config.precision == "bfloat16"
        return torch.autocast(device.type, torch.bfloat16, enabled=wanted)

    def rows(self, batch: Batch) -> Tables:
        """Rows (B, ...) of the tables."""
        return {
            name: table.index_select(0, batch.rows)
            for name, table in self.tables.items()
        }

    def judge(
        self, matrix: Tensor, rows: Tables, mask: Tensor
    ) -> tuple[Tensor, Tensor, StepResult]:
        """Compare scores (B, S) or (B, S, K) with the rows of the tables.

        Returns
        -------
        per_day : Tensor, shape (B,)
            With a graph, for ``per_day.backward(weights)``.
        weights : Tensor, shape (B,)
            What turns it into the mean over the counted days of all processes.
        result : StepResult
        """
        per_day, counted = self.per_day(matrix, rows)
        weights = counted.to(per_day.dtype)
        n_counted = weights.sum()
        everywhere = n_counted
        if self.group.size > 1:
            everywhere = self.group.all_reduce_(n_counted.clone())
        loss_sum = torch.dot(per_day.detach(), weights)
        if matrix.dim() == 2:
            ic, defined = rank_ic_with(matrix, rows[UNIT_RANKS], mask)
            ic_sum, n_ic = ic.sum(), defined.sum()
        else:  # scores of classes have no IC
            ic_sum = n_ic = torch.zeros_like(n_counted)
        result = StepResult(loss_sum, n_counted, ic_sum, n_ic)
        return per_day, weights / everywhere.clamp(min=1), result

    def _nothing(self) -> StepResult:
        # Of the scores' type: an all-reduce of two types kills the processes.
        zero = widened(self.parameters[0].new_zeros(()).detach())
        self.group.all_reduce_(zero.clone())
        return StepResult(zero, zero, zero, zero)


class PlainStep(Step):
    """The whole batch in one pass."""

    def backward(self, batch: Batch) -> StepResult:
        """Run network and loss once, forward and backward."""
        return self.backward_from(self.scores(batch.windows(), batch.layout), batch)

    def scores(self, windows: Tensor, layout: Layout) -> Tensor:
        """Score windows (N, L, C) -> (N,) or (N, K), at least float32."""
        with self.autocast(windows.device):
            scores = self.network(windows, layout)
        return widened(scores)

    def backward_from(self, scores: Tensor, batch: Batch) -> StepResult:
        """Judge scores (N,) or (N, K) and run backward from there."""
        matrix = batch.layout.spread(scores)  # (B, S)
        rows, mask = self.rows(batch), batch.layout.mask
        per_day, weights, result = self.judge(matrix, rows, mask)
        per_day.backward(weights)  # type: ignore[no-untyped-call]
        return result


class CachedStep(PlainStep):
    """A batch too large for one pass, in chunks, with the gradient of one pass.

    All chunks are scored without a graph, the loss gives the gradient of each score,
    and each chunk is scored again with a graph and run backward from there. The random
    state of the first pass is restored for the second, so that dropout drops the same.

    Source: Gao et al. (2021), gradient caching for contrastive losses.
    """

    def backward(self, batch: Batch) -> StepResult:
        """Score twice, in chunks; a batch that fits takes one pass."""
        limit = self.config.max_windows_per_pass or batch.n_cells
        if batch.n_cells <= limit:
            return super().backward(batch)
        chunks = chunks_of(batch, limit, whole_bars=_crosses(self.network))
        device, states, parts = batch.rows.device, [], []
        with torch.no_grad():
            for chunk in chunks:
                states.append(_random_state(device))
                parts.append(self.scores(chunk.windows(), chunk.layout))
        scores = torch.cat(parts).requires_grad_()  # (N,)
        result = self.backward_from(scores, batch)
        after = _random_state(device)
        assert scores.grad is not None
        slopes = torch.split(scores.grad, [len(part) for part in parts])
        for chunk, state, slope in zip(chunks, states, slopes, strict=True):
            _set_random_state(state, device)
            part = self.scores(chunk.windows(), chunk.layout)
            part.backward(slope)  # type: ignore[no-untyped-call]
        _set_random_state(after, device)
        return result


class DenseStep(Step):
    """A block of following bars in one pass over their series."""

    def backward(self, batch: Batch) -> StepResult:
        """Convolve each series once, not once a window, forward and backward."""
        network, mask = cast(SeriesScorer, self.network), batch.layout.mask
        with self.autocast(mask.device):
            scores = dense_block(network, batch.inputs, batch.host_bars, mask)
        matrix = widened(scores)  # (B, S)
        per_day, weights, result = self.judge(matrix, self.rows(batch), mask)
        per_day.backward(weights)  # type: ignore[no-untyped-call]
        return result


def make_optimizer(network: nn.Module, config: LoopConfig) -> torch.optim.Optimizer:
    """AdamW in one fused kernel."""
    return torch.optim.AdamW(
        network.parameters(),
        lr=config.learning_rate,
        weight_decay=config.weight_decay,
        fused=True,
    )


def make_step(
    network: nn.Module,
    loss: CrossSectionLoss,
    tables: Tables,
    optimizer: torch.optim.Optimizer,
    config: LoopConfig,
    inputs: Inputs,
    group: Group = SingleProcess(),  # noqa: B008 - immutable
) -> Step:
    """Choose the kind of step that the configuration asks for.

    Blocks of bars go through a network that can score series in one pass over them,
    where the windows of ``inputs`` are plain slices.

    Raises
    ------
    UserError
        When options do not go together.
    """
    _check_options(config)
    dense = config.bars_per_block is not None and can_score_series(network, inputs)
    if dense and (config.cuda_graph or config.max_windows_per_pass is not None):
        raise UserError(
            "bars_per_block makes this network score a block in one pass, which "
            "neither cuda_graph nor max_windows_per_pass can do: leave one of them out."
        )
    kind: type[Step] = PlainStep
    if config.cuda_graph:
        from ranking_pipeline.learning.graph import GraphStep

        kind = GraphStep
    elif config.max_windows_per_pass is not None:
        kind = CachedStep
    elif dense:
        kind = DenseStep
    return kind(network, loss, tables, optimizer, config, group)


def can_score_series(network: nn.Module, inputs: Inputs) -> bool:
    """Whether one pass over the series gives the scores of all its windows."""
    return bool(getattr(network, "has_series", False)) and inputs.series_ready


def refuse_compile(network: nn.Module) -> None:
    """Raise a UserError where torch.compile cannot pay."""
    if any(isinstance(module, nn.RNNBase) for module in network.modules()):
        raise UserError(
            "compile is true but the network is recurrent: torch.compile leaves its "
            "recurrent layers as they are and slows down what is around them. Use "
            "compile: false, and cuda_graph: true where there is a GPU."
        )


def chunks_of(batch: Batch, limit: int, whole_bars: bool) -> list[Batch]:
    """Cut a batch into parts of at most ``limit`` cells, in order.

    With ``whole_bars`` a cross-section stays whole; one that is larger than the limit
    is a part by itself.
    """
    n_bars, ends = len(batch.layout.counts), np.cumsum(batch.layout.counts)
    if not whole_bars:
        starts = range(0, batch.n_cells, limit)
        cells = [slice(start, min(start + limit, batch.n_cells)) for start in starts]
        return [batch.part(part, slice(0, n_bars)) for part in cells]
    parts, first = [], 0
    while first < n_bars:
        done = int(ends[first - 1]) if first else 0
        stop = max(first + 1, int(np.searchsorted(ends, done + limit, side="right")))
        parts.append(batch.part(slice(done, int(ends[stop - 1])), slice(first, stop)))
        first = stop
    return parts


def _check_options(config: LoopConfig) -> None:
    if config.precision not in PRECISIONS:
        raise UserError(
            f"precision is {config.precision!r}; use one of {', '.join(PRECISIONS)}."
        )
    for name in ("max_windows_per_pass", "bars_per_block"):
        value = getattr(config, name)
        if value is not None and value < 1:
            raise UserError(f"{name} is {value}; use at least 1, or null.")
    if config.cuda_graph and config.compile:
        raise UserError("cuda_graph and compile are both true; use one of them.")


def _crosses(network: nn.Module) -> bool:
    """Whether names of a bar may see each other; a network that does not say, may."""
    return bool(getattr(network, "crosses", True))


def _random_state(device: torch.device) -> list[Tensor]:
    """States of the generators that dropout draws from; they are kept by the host."""
    states = [torch.get_rng_state()]
    return states + ([torch.cuda.get_rng_state()] if device.type == "cuda" else [])


def _set_random_state(states: list[Tensor], device: torch.device) -> None:
    torch.set_rng_state(states[0])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states[1])


def _sum_gradients(parameters: list[nn.Parameter], group: Group) -> None:
    """One all-reduce for all parameters; a missing gradient counts as zero."""
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    flat = group.all_reduce_(torch.cat([part.flatten() for part in gradients]))
    sizes = [part.numel() for part in gradients]
    for parameter, part in zip(parameters, torch.split(flat, sizes), strict=True):
        parameter.grad = part.view_as(parameter)
