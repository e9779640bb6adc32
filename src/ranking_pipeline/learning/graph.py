"""A training step of fixed shapes, and its capture as one CUDA graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ranking_pipeline.errors import UserError
from ranking_pipeline.learning.cross_sections import Batch
from ranking_pipeline.learning.device import Group, SingleProcess
from ranking_pipeline.learning.layout import Layout
from ranking_pipeline.learning.losses.base import CrossSectionLoss, Tables, widened
from ranking_pipeline.learning.losses.draws import SeededDraws
from ranking_pipeline.learning.steps import Step, StepResult

if TYPE_CHECKING:
    from ranking_pipeline.learning.loop import LoopConfig

_WARM_UP_STEPS = 3
# Largest relative difference between the losses of the graph and of the eager step.
_TOLERANCE = 1e-6
# After an update in bfloat16 one flipped rounding is visible.
_TOLERANCE_UPDATED = {"float32": 1e-6, "bfloat16": 1e-3}


def padded_size(n_cells: int) -> int:
    """Round a number of cells up to one of few sizes.

    Sizes lie 3 to 6 % apart, so that the batches of a training fall on a handful of
    them, each with one graph, and padding costs about 2 % on average.
    """
    granule = max(64, 1 << max(0, n_cells.bit_length() - 5))
    return -(-n_cells // granule) * granule


class StaticStep(Step):
    """A step whose tensors have the same shapes and addresses for batches of one size.

    The cells of a batch are copied into buffers and padded with dummy cells. A dummy
    repeats a cell that is known to be valid, and its score is scattered into a spare
    row below the (B, S) matrix, which the loss does not see: its gradient is exactly
    zero. The step so equals :class:`ranking_pipeline.learning.steps.PlainStep`, up to
    the order in which sums over cells are rounded; dropout alone draws other masks.

    It runs on any device. :class:`GraphStep` records it.

    Raises
    ------
    UserError
        When the network has a batch normalisation: its statistics would see the
        dummies.
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
        super().__init__(network, loss, tables, optimizer, config, group)
        self._buffers: dict[tuple[int, int], Batch] = {}
        if any(isinstance(module, _BatchNorm) for module in network.modules()):
            raise UserError(
                "cuda_graph pads batches, which a batch normalisation would notice; "
                "use another normalisation in the network, or cuda_graph: false."
            )

    def backward(self, batch: Batch) -> StepResult:
        """Pad the batch and run network and loss once, forward and backward."""
        return self.padded_backward(self.padded(batch))

    def padded(self, batch: Batch) -> Batch:
        """Copy a batch into the buffers of its size.

        Returns
        -------
        Batch
            The same object for all batches of one size, until :meth:`forget`. Its
            layout has B + 1 rows: the last one is the dummies'.
        """
        n_cells, n_bars = len(batch.symbols), len(batch.layout.counts)
        size = (n_bars, padded_size(n_cells))
        if size not in self._buffers:
            self._buffers[size] = _buffers_for(batch, size[1])
        held = self._buffers[size]
        if batch.inputs is not held.inputs:
            raise UserError(
                "cuda_graph needs inputs that stay on the device for the whole "
                "training; give them more memory, or use cuda_graph: false."
            )
        # What the buffers held before stays behind as dummies: valid cells, too.
        held.symbols[:n_cells].copy_(batch.symbols)
        held.bars[:n_cells].copy_(batch.bars)
        held.layout.slots[:n_cells].copy_(batch.layout.slots)
        held.layout.slots[n_cells:].fill_(batch.layout.mask.numel())
        held.layout.mask[:n_bars].copy_(batch.layout.mask)
        held.rows.copy_(batch.rows)
        return held

    def padded_backward(self, batch: Batch) -> StepResult:
        """Do what :meth:`backward` does with a padded batch: no value of it is read."""
        windows = batch.windows()  # (cap, L, C)
        with self.autocast(windows.device):
            scores = self.network(windows, batch.layout)  # (cap,)
        matrix = batch.layout.spread(widened(scores))[:-1]  # (B, S)
        mask = batch.layout.mask[:-1]
        per_day, weights, result = self.judge(matrix, self.rows(batch), mask)
        per_day.backward(weights)  # type: ignore[no-untyped-call]
        return result

    def forget(self) -> None:
        """Drop the buffers."""
        self._buffers.clear()


def _buffers_for(batch: Batch, cap: int) -> Batch:
    """Make a padded batch; all of its cells are the batch's first one."""
    n_bars, n_symbols = batch.layout.mask.shape
    # A spare row without names could divide by zero in a layer across names.
    mask = batch.layout.mask.new_ones((n_bars + 1, n_symbols))
    # The same for all batches of this size, so an upper bound.
    counts = np.full(n_bars + 1, n_symbols, dtype=np.int64)
    return Batch(
        batch.inputs,
        batch.symbols[:1].repeat(cap),
        batch.bars[:1].repeat(cap),
        batch.rows.clone(),
        Layout(batch.layout.slots[:1].repeat(cap), mask, counts),
        batch.host_bars,
    )


class GraphStep(StaticStep):
    """A static step recorded as CUDA graphs, one for each size of batch.

    A replay is one launch for gather, forward, loss, backward, clipping and update.
    What it returns is a copy, so that results may be kept.

    The first batch of a size is run a few times to warm up, recorded, and replayed
    twice; model, optimizer and random state are put back each time. The losses of the
    replays must be those of the warm-up.

    Parameters
    ----------
    optimizer : torch.optim.AdamW
        Fused. It is made capturable, and its learning rate a tensor: set it in place,
        see :func:`ranking_pipeline.learning.schedule.set_rate`.
    recorder : Recorder, optional
        :class:`CudaRecorder` by default.

    Raises
    ------
    UserError
        When the network is not on a GPU, when other options rule a graph out, when the
        step cannot be captured, or when graph and eager step disagree.

    Notes
    -----
    Rules of capture: the CUDA graph chapters of the documentation of PyTorch and of
    NVIDIA. All but :class:`CudaRecorder` is tested on a CPU; the comparison above
    checks each capture where it is made.
    """

    def __init__(
        self,
        network: nn.Module,
        loss: CrossSectionLoss,
        tables: Tables,
        optimizer: torch.optim.Optimizer,
        config: LoopConfig,
        group: Group = SingleProcess(),  # noqa: B008 - immutable
        recorder: Recorder | None = None,
    ) -> None:
        device = next(network.parameters()).device
        if recorder is None:
            refuse_graph(device, config, group)
        super().__init__(network, loss, tables, optimizer, config, group)
        self._recorder = CudaRecorder(device) if recorder is None else recorder
        self._graphs: dict[int, _Graph] = {}
        self._tables = tables
        self._own_tables = False
        self._rates = make_capturable(optimizer)

    def __call__(self, batch: Batch) -> StepResult:
        """Take one step; the first batch of a size takes longer."""
        if self.tables is not self._tables:
            self._replace_tables()
        if self._rates != [id(g["lr"]) for g in self.optimizer.param_groups]:
            # A loaded state replaced the tensors that the graphs write to.
            self.forget()
            self._rates = make_capturable(self.optimizer)
        held = self.padded(batch)
        if id(held) not in self._graphs:
            self._graphs[id(held)] = self._captured(held)
        graph = self._graphs[id(held)]
        graph.replay()
        return StepResult(*graph.sums.clone().unbind())

    def forget(self) -> None:
        """Drop the graphs and their buffers."""
        self._recorder.forget()
        self._graphs.clear()
        super().forget()

    def _replace_tables(self) -> None:
        """Go on with new tables; copied to where the graphs read, when they fit."""
        if self._own_tables and _same_shapes(self._tables, self.tables):
            for name, table in self.tables.items():
                self._tables[name].copy_(table)
            self.tables = self._tables
            return
        # A copy of our own: writing to the first tables could change a block's targets.
        self.tables = {name: table.clone() for name, table in self.tables.items()}
        self._tables, self._own_tables = self.tables, True
        self.forget()

    def _captured(self, batch: Batch) -> _Graph:
        flatten_recurrent(self.network)
        before = TrainingState(self.network, self.loss, self.optimizer)
        with self._recorder.side_stream():
            eager = [self._whole_step(batch) for _ in range(_WARM_UP_STEPS)]
        before.restore()
        sums = torch.empty_like(eager[0])
        replay = self._recorder.record(
            lambda: sums.copy_(self._whole_step(batch)), before.own_generators()
        )
        before.restore()
        replayed = []
        for _ in range(2):
            replay()
            replayed.append(sums.clone())
        before.restore()
        check_losses(eager, replayed, self.config.precision)
        return _Graph(replay, sums)

    def _whole_step(self, batch: Batch) -> Tensor:
        """Step with a padded batch; the four sums of the result, shape (4,)."""
        self.optimizer.zero_grad(set_to_none=True)
        result = self.padded_backward(batch)
        self.update()
        return torch.stack([value.double() for value in result])


@dataclass(frozen=True)
class _Graph:
    """A recorded step, and where it leaves its four sums."""

    replay: Callable[[], None]
    sums: Tensor


class Recorder(Protocol):
    """What records a function of fixed addresses."""

    def side_stream(self) -> AbstractContextManager[None]:
        """Where the function is run before it is recorded."""

    def record(
        self, function: Callable[[], object], generators: list[torch.Generator]
    ) -> Callable[[], None]:
        """Record the function, which draws from these generators; give its replay."""

    def forget(self) -> None:
        """Get ready for all that was recorded to be dropped."""


class CudaRecorder:
    """Records CUDA graphs that share one pool of memory.

    They may share it: a step leaves nothing there that a later one reads.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._pool = torch.cuda.graph_pool_handle()

    @contextmanager
    def side_stream(self) -> Iterator[None]:
        """Inside the block, work goes to a stream of its own."""
        current = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            yield
        current.wait_stream(self._stream)

    def record(
        self, function: Callable[[], object], generators: list[torch.Generator]
    ) -> Callable[[], None]:
        """Capture the function's kernels."""
        graph = torch.cuda.CUDAGraph()
        for generator in generators:
            graph.register_generator_state(generator)
        try:
            with torch.cuda.graph(graph, pool=self._pool, stream=self._stream):
                function()
        except RuntimeError as error:
            raise UserError(
                f"this training step cannot be recorded as a CUDA graph ({error}); "
                "use cuda_graph: false."
            ) from error
        return graph.replay

    def forget(self) -> None:
        """Wait for what runs; a pool that nothing uses any more is not used again."""
        torch.cuda.synchronize(self._device)
        self._pool = torch.cuda.graph_pool_handle()


def refuse_graph(device: torch.device, config: LoopConfig, group: Group) -> None:
    """Raise a UserError where a CUDA graph is not possible."""
    if device.type != "cuda":
        raise UserError(
            f"cuda_graph is true but the network is on the {device.type}; use "
            "device 'cuda', or cuda_graph: false."
        )
    if group.size > 1:
        raise UserError(
            f"cuda_graph is true with {group.size} processes, whose exchange is not "
            "recorded; use one process, or cuda_graph: false."
        )
    if config.max_windows_per_pass is not None:
        raise UserError(
            "cuda_graph is true with max_windows_per_pass "
            f"{config.max_windows_per_pass}, and a graph takes a batch in one pass; set "
            "max_windows_per_pass: null, or cuda_graph: false."
        )


def make_capturable(optimizer: torch.optim.Optimizer) -> list[int]:
    """Let a graph hold the optimizer's step: the learning rate becomes a tensor.

    Returns
    -------
    list of int
        Identities of the learning rates of the parameter groups.
    """
    for group in optimizer.param_groups:
        device = group["params"][0].device
        group["lr"] = torch.as_tensor(group["lr"], dtype=torch.float32, device=device)
        group["capturable"] = True
    return [id(group["lr"]) for group in optimizer.param_groups]


def flatten_recurrent(network: nn.Module) -> None:
    """Lay the weights of each recurrent layer out as cuDNN wants them, once."""
    for module in network.modules():
        if isinstance(module, nn.RNNBase):
            module.flatten_parameters()


def check_losses(eager: list[Tensor], replayed: list[Tensor], precision: str) -> None:
    """Compare two steps from the same state; the second one shows the first's update.

    Parameters
    ----------
    eager, replayed : list of Tensor, each shape (4,)
        Sums of the steps, the loss first.
    precision : str

    Raises
    ------
    UserError
        When the losses differ.
    """
    tolerances = (_TOLERANCE, _TOLERANCE_UPDATED[precision])
    for place, tolerance in enumerate(tolerances):
        wanted, got = float(eager[place][0]), float(replayed[place][0])
        if not abs(wanted - got) <= tolerance * max(abs(wanted), 1e-12):
            raise UserError(
                f"the CUDA graph of the training step gives a loss of {got} in step "
                f"{place + 1}, where the step itself gives {wanted}; use "
                "cuda_graph: false."
            )


class TrainingState:
    """All that a step changes, so that it can be put back in place.

    Addresses stay: a tensor that a graph knows is written to, never replaced.
    """

    def __init__(
        self, network: nn.Module, loss: nn.Module, optimizer: torch.optim.Optimizer
    ) -> None:
        self._optimizer = optimizer
        held = [
            value
            for module in (network, loss)
            for value in (*module.parameters(), *module.buffers())
        ]
        self._saved = [
            (value, value.detach().clone()) for value in held + self._moments()
        ]
        default = default_generator(held[0].device)
        self._default = (default, default.get_state())
        self._draws = [
            (module, module.get_extra_state().clone())
            for module in loss.modules()
            if isinstance(module, SeededDraws)
        ]

    @torch.no_grad()
    def restore(self) -> None:
        """Put everything back; what came into being since then starts anew."""
        for value, copy in self._saved:
            value.copy_(copy)
        known = {id(value) for value, _ in self._saved}
        for moment in self._moments():
            if id(moment) not in known:
                moment.zero_()  # moments and counts of AdamW start at zero
        default, state = self._default
        default.set_state(state)
        for module, drawn in self._draws:
            _rewind(module, drawn)

    def own_generators(self) -> list[torch.Generator]:
        """Random streams of the loss, beside the device's."""
        return [stream for module, _ in self._draws for stream in _streams(module)]

    def _moments(self) -> list[Tensor]:
        return [
            value
            for state in self._optimizer.state.values()
            for value in state.values()
            if isinstance(value, Tensor)
        ]


def _rewind(module: SeededDraws, state: Tensor) -> None:
    """Set the stream of a loss back, in place: a graph holds on to the generator."""
    for stream in _streams(module):
        if len(state):
            stream.set_state(state)
        else:
            stream.manual_seed(module.seed)


def _streams(module: nn.Module) -> list[torch.Generator]:
    return [part for part in vars(module).values() if isinstance(part, torch.Generator)]


def default_generator(device: torch.device) -> torch.Generator:
    """Find the random stream that dropout on a device draws from."""
    if device.type != "cuda":
        return torch.default_generator
    index = torch.cuda.current_device() if device.index is None else device.index
    return torch.cuda.default_generators[index]


def _same_shapes(first: Tables, second: Tables) -> bool:
    shapes = [
        {name: (table.shape, table.dtype) for name, table in tables.items()}
        for tables in (first, second)
    ]
    return shapes[0] == shapes[1]
