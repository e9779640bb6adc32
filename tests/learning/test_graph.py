"""The step of fixed shapes: padding changes nothing, and state is put back exactly."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from ranking_pipeline.errors import UserError
from ranking_pipeline.learning.cross_sections import CrossSections
from ranking_pipeline.learning.device import SingleProcess, seeded
from ranking_pipeline.learning.graph import (
    GraphStep,
    StaticStep,
    TrainingState,
    check_losses,
    make_capturable,
    padded_size,
    refuse_graph,
)
from ranking_pipeline.learning.loop import LoopConfig
from ranking_pipeline.learning.losses import loss_names, make_loss
from ranking_pipeline.learning.losses.base import CrossSectionLoss
from ranking_pipeline.learning.networks import NetworkSpec, Scorer, make_network
from ranking_pipeline.learning.schedule import set_rate
from ranking_pipeline.learning.steps import PlainStep, Step, block_tables
from ranking_pipeline.learning.windows import ResidentPanel

SYMBOLS, BARS, LENGTH, CHANNELS = 24, 60, 6, 3
CONFIG = LoopConfig(timestamps_per_batch=8, learning_rate=3e-3)
LOSSES = [name for name in loss_names() if name != "cross_entropy"]


def make_block(dtype: torch.dtype, ragged: bool = True) -> CrossSections:
    """Bars of 9 to 24 names; some bars have a target that is the same for all."""
    rng = np.random.default_rng(3)
    values = rng.normal(size=(SYMBOLS, BARS, CHANNELS)).astype(np.float32)
    targets = rng.normal(size=(BARS, SYMBOLS))
    targets[30:33] = 0.5
    if ragged:
        for symbol in range(0, SYMBOLS, 2):
            values[symbol, : rng.integers(BARS)] = np.nan
    panel = ResidentPanel.build(values, LENGTH)
    wide = replace(panel, values=panel.values.to(dtype))
    block = CrossSections.build(wide, targets, panel.valid, 9)
    return replace(block, targets=block.targets.to(dtype))


def make_step(
    kind: Callable[..., Step],
    block: CrossSections,
    loss: CrossSectionLoss,
    network: Scorer,
    config: LoopConfig = CONFIG,
) -> Step:
    own = copy.deepcopy(network).train()
    optimizer = torch.optim.AdamW(own.parameters(), config.learning_rate, fused=True)
    tables = block_tables(loss, block)
    return kind(own, copy.deepcopy(loss), tables, optimizer, config)


def run(step: Step, block: CrossSections, epochs: int) -> list[list[float]]:
    """Sums of every step over seeded orders; the last batch of an epoch is short."""
    sums = []
    for epoch in range(epochs):
        order = np.random.default_rng(epoch).permutation(block.n_bars)
        batches = block.batches(order, CONFIG.timestamps_per_batch)
        sums += [[float(value) for value in step(batch)] for batch in batches]
    return sums


def assert_same_training(
    network: Scorer,
    loss: CrossSectionLoss,
    block: CrossSections,
    tolerance: float,
    sums: slice = slice(None),
) -> None:
    plain = make_step(PlainStep, block, loss, network)
    static = make_step(StaticStep, block, loss, network)
    wanted, got = (np.array(run(step, block, 3))[:, sums] for step in (plain, static))
    assert len({len(b.symbols) for b in block.batches(np.arange(16), 8)}) > 1
    np.testing.assert_allclose(got, wanted, rtol=tolerance, atol=tolerance)
    start = network.state_dict()
    end = static.network.state_dict()
    for name, value in plain.network.state_dict().items():
        torch.testing.assert_close(end[name], value, rtol=0, atol=10 * tolerance)
    assert any(not torch.equal(end[name], start[name]) for name in start)


@pytest.mark.parametrize("loss", LOSSES)
def test_padding_changes_no_loss_and_no_weight(loss: str) -> None:
    block = make_block(torch.float64)
    network = make_network(NetworkSpec("mlp", 8), (LENGTH, CHANNELS), seed=1).double()
    terms = {"terms": {"ic": 1.0, "pairwise": 0.5}} if loss == "mixture" else {}
    assert_same_training(network, make_loss(loss, **terms), block, 1e-10)


@pytest.mark.parametrize(
    "name",
    "linear lstm gru alstm tcn transformer mixer stock_transformer cross_stock".split(),
)
def test_padding_changes_no_network(name: str) -> None:
    block = make_block(torch.float64)
    network = make_network(NetworkSpec(name, 8), (LENGTH, CHANNELS), seed=1).double()
    assert_same_training(network, make_loss("pairwise"), block, 1e-9)


def test_padding_changes_nothing_in_single_precision() -> None:
    block = make_block(torch.float32)
    network = make_network(NetworkSpec("lstm", 8), (LENGTH, CHANNELS), seed=1)
    # A pointwise loss: in a ranking loss the head's bias has a gradient of pure noise,
    # which AdamW blows up to whole steps. The rank IC jumps when two scores nearly tie.
    assert_same_training(network, make_loss("pointwise"), block, 1e-5, slice(0, 2))


def test_the_network_may_give_several_scores() -> None:
    block = make_block(torch.float64)
    labels = replace(block, targets=(block.targets > 0).double() + block.targets.sign())
    labels = replace(labels, targets=labels.targets.clamp(min=0) * labels.mask)
    spec = NetworkSpec("mlp", 8)
    network = make_network(spec, (LENGTH, CHANNELS), 3, seed=1).double()
    assert_same_training(network, make_loss("cross_entropy"), labels, 1e-10)


def test_dummies_have_no_effect_whatever_they_hold() -> None:
    block = make_block(torch.float64)
    network = make_network(NetworkSpec("mlp", 8), (LENGTH, CHANNELS), seed=1).double()
    step = make_step(StaticStep, block, make_loss("listwise"), network)
    assert isinstance(step, StaticStep)
    (batch,) = block.batches(np.array([20, 3, 8]), 3)
    held = step.padded(batch)
    results = []
    for symbol in (0, 1):
        held.symbols[len(batch.symbols) :] = symbol
        held.bars[len(batch.symbols) :] = BARS - 1
        step.optimizer.zero_grad()
        result = step.padded_backward(held)
        gradients = [p.grad.clone() for p in step.parameters if p.grad is not None]
        results.append([*result, *gradients])
    assert len(held.symbols) > len(batch.symbols)
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)


def test_batches_of_one_size_share_one_place() -> None:
    block = make_block(torch.float64)
    network = make_network(NetworkSpec("linear"), (LENGTH, CHANNELS), seed=1).double()
    step = make_step(StaticStep, block, make_loss("ic"), network)
    assert isinstance(step, StaticStep)
    batches = list(block.batches(np.arange(block.n_bars), 8))
    places = [step.padded(batch) for batch in batches]
    sizes = {(len(b.rows), padded_size(len(b.symbols))) for b in batches}
    assert len({id(place) for place in places}) == len(sizes) < len(batches)
    addresses = {place.symbols.data_ptr() for place in places}
    assert len(addresses) == len(sizes)


@given(st.integers(1, 1 << 22))
def test_sizes_are_few_and_close(n_cells: int) -> None:
    size = padded_size(n_cells)
    assert size >= n_cells
    assert size - n_cells < max(64, n_cells / 16 + 1)
    assert padded_size(size) == size


def test_a_batch_normalisation_is_refused() -> None:
    block = make_block(torch.float32)
    body = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(18), nn.Linear(18, 1))
    with pytest.raises(UserError, match="batch normalisation"):
        make_step(StaticStep, block, make_loss("ic"), Scorer(body, 1))


def test_inputs_that_move_are_refused() -> None:
    block = make_block(torch.float32)
    network = make_network(NetworkSpec("linear"), (LENGTH, CHANNELS), seed=1)
    step = make_step(StaticStep, block, make_loss("ic"), network)
    (batch,) = block.batches(np.arange(8), 8)
    step(batch)
    moved = replace(block, inputs=replace(block.inputs))
    (other,) = moved.batches(np.arange(8), 8)
    with pytest.raises(UserError, match="stay on the device"):
        step(other)


def test_a_graph_on_a_cpu_is_refused() -> None:
    block = make_block(torch.float32)
    network = make_network(NetworkSpec("linear"), (LENGTH, CHANNELS), seed=1)
    with pytest.raises(UserError, match="cuda_graph is true but the network is on the"):
        make_step(GraphStep, block, make_loss("ic"), network)


@pytest.mark.parametrize(
    ("config", "size", "key"),
    [
        (CONFIG, 2, "2 processes"),
        (replace(CONFIG, max_windows_per_pass=100), 1, "max_windows_per_pass 100"),
    ],
)
def test_options_that_rule_a_graph_out(config: LoopConfig, size: int, key: str) -> None:
    with pytest.raises(UserError, match=key):
        refuse_graph(torch.device("cuda"), config, SingleProcess(size=size))
    refuse_graph(torch.device("cuda"), CONFIG, SingleProcess())


def test_a_state_is_put_back_to_the_bit_and_in_place() -> None:
    block = make_block(torch.float32)
    spec = NetworkSpec("mlp", 8, dropout=0.5)
    network = make_network(spec, (LENGTH, CHANNELS), seed=1)
    loss = make_loss("pairwise", max_pairs=3)
    step = make_step(StaticStep, block, loss, network)
    (batch,) = block.batches(np.arange(8), 8)
    for warm in (False, True):
        # First with an optimizer that has no state yet, then with one that has.
        state = TrainingState(step.network, step.loss, step.optimizer)
        addresses = [p.data_ptr() for p in step.parameters]
        first = [[float(value) for value in step(batch)] for _ in range(3)]
        weights = [p.detach().clone() for p in step.parameters]
        moments = [
            value for part in step.optimizer.state.values() for value in part.values()
        ]
        state.restore()
        assert not warm or any(moment.any() for moment in moments)
        again = [[float(value) for value in step(batch)] for _ in range(3)]
        assert again == first, warm
        assert first[0] != first[1]
        for parameter, weight in zip(step.parameters, weights, strict=True):
            assert torch.equal(parameter, weight)
        assert addresses == [p.data_ptr() for p in step.parameters]
        after = [
            value for part in step.optimizer.state.values() for value in part.values()
        ]
        assert [id(m) for m in after] == [id(m) for m in moments]


def test_a_new_optimizer_state_starts_at_zero() -> None:
    block = make_block(torch.float32)
    network = make_network(NetworkSpec("mlp", 8), (LENGTH, CHANNELS), seed=1)
    step = make_step(StaticStep, block, make_loss("ic"), network)
    (batch,) = block.batches(np.arange(8), 8)
    state = TrainingState(step.network, step.loss, step.optimizer)
    step(batch)
    state.restore()
    for part in step.optimizer.state.values():
        assert set(part) >= {"step", "exp_avg", "exp_avg_sq"}
        assert not any(value.any() for value in part.values())


def test_the_rate_of_a_capturable_optimizer_is_a_tensor_set_in_place() -> None:
    block = make_block(torch.float32)
    network = make_network(NetworkSpec("mlp", 8), (LENGTH, CHANNELS), seed=1)
    loss = make_loss("pointwise")
    steps = [make_step(StaticStep, block, loss, network) for _ in range(2)]
    make_capturable(steps[1].optimizer)
    rate = steps[1].optimizer.param_groups[0]["lr"]
    assert float(rate) == pytest.approx(CONFIG.learning_rate)
    for turn, (batch, value) in enumerate(
        zip(block.batches(np.arange(24), 8), (1e-3, 5e-4, 2e-4), strict=True)
    ):
        for step in steps:
            set_rate(step.optimizer, value)
            step(batch)
        assert steps[1].optimizer.param_groups[0]["lr"] is rate, turn
    for one, other in zip(steps[0].parameters, steps[1].parameters, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-7)


class EagerRecorder:
    """Runs what it was to record: all of a graph step but the graph, on a CPU."""

    def __init__(self, fault: float = 0.0) -> None:
        self.fault = fault
        self.recorded = 0

    def side_stream(self) -> AbstractContextManager[None]:
        return nullcontext()

    def record(
        self, function: Callable[[], object], generators: list[torch.Generator]
    ) -> Callable[[], None]:
        self.recorded += 1
        function()

        def replay() -> None:
            result = function()
            assert isinstance(result, Tensor)
            result.mul_(1 + self.fault)

        return replay

    def forget(self) -> None:
        pass


def make_graph_step(
    block: CrossSections, loss: CrossSectionLoss, network: Scorer, fault: float = 0.0
) -> tuple[GraphStep, EagerRecorder]:
    recorder = EagerRecorder(fault)
    step = make_step(partial(GraphStep, recorder=recorder), block, loss, network)
    assert isinstance(step, GraphStep)
    return step, recorder


@pytest.mark.parametrize("loss", ["pairwise", "drawn pairs"])
def test_a_graph_step_trains_as_the_static_one(loss: str) -> None:
    block = make_block(torch.float32)
    network = make_network(
        NetworkSpec("mlp", 8, dropout=0.3), (LENGTH, CHANNELS), seed=1
    )
    chosen = make_loss("pairwise", max_pairs=3 if loss == "drawn pairs" else None)
    static = make_step(StaticStep, block, chosen, network)
    graph, recorder = make_graph_step(block, chosen, network)
    for step in (static, graph):
        make_capturable(step.optimizer)
    histories = []
    for step in (static, graph):
        with seeded(5, torch.device("cpu")):
            histories.append(run(step, block, 3))
    # To the bit: warming up, recording and checking left no trace.
    assert histories[0] == histories[1]
    sizes = {
        (len(batch.rows), padded_size(batch.n_cells))
        for epoch in range(3)
        for batch in block.batches(
            np.random.default_rng(epoch).permutation(block.n_bars), 8
        )
    }
    assert recorder.recorded == len(sizes) > 1


def test_results_of_a_graph_step_may_be_kept() -> None:
    block = make_block(torch.float32)
    network = make_network(NetworkSpec("mlp", 8), (LENGTH, CHANNELS), seed=1)
    step, _ = make_graph_step(block, make_loss("ic"), network)
    (batch,) = block.batches(np.arange(8), 8)
    first = step(batch)
    before = float(first.loss_sum)
    step(batch)
    assert float(first.loss_sum) == before


def test_a_graph_that_computes_something_else_is_refused() -> None:
    block = make_block(torch.float32)
    network = make_network(NetworkSpec("mlp", 8), (LENGTH, CHANNELS), seed=1)
    step, _ = make_graph_step(block, make_loss("ic"), network, fault=1e-5)
    (batch,) = block.batches(np.arange(8), 8)
    with pytest.raises(UserError, match="the CUDA graph of the training step gives"):
        step(batch)


def test_new_tables_are_used_and_old_ones_left_alone() -> None:
    block = make_block(torch.float32)
    loss = make_loss("pointwise")
    network = make_network(NetworkSpec("mlp", 8), (LENGTH, CHANNELS), seed=1)
    step, recorder = make_graph_step(block, loss, network)
    static = make_step(StaticStep, block, loss, network)
    targets = block.targets.clone()
    for turn in range(4):
        drawn = block.sampled(7, (turn,))
        (batch,) = drawn.batches(np.arange(8), 8)
        results = []
        for each in (step, static):
            each.tables = block_tables(loss, drawn)
            results.append([float(value) for value in each(batch)])
        assert results[0] == pytest.approx(results[1], rel=1e-6)
    # The first tables of its own are recorded; those that follow are copied into them.
    assert recorder.recorded == 1
    assert torch.equal(block.targets, targets)


def test_a_loaded_optimizer_is_recorded_anew() -> None:
    block = make_block(torch.float32)
    network = make_network(NetworkSpec("mlp", 8), (LENGTH, CHANNELS), seed=1)
    step, recorder = make_graph_step(block, make_loss("ic"), network)
    (batch,) = block.batches(np.arange(8), 8)
    step(batch)
    step(batch)
    assert recorder.recorded == 1
    step.optimizer.load_state_dict(copy.deepcopy(step.optimizer.state_dict()))
    step(batch)
    assert recorder.recorded == 2


def test_losses_that_differ_are_an_error() -> None:
    same = [torch.tensor([2.0, 8, 0, 0]), torch.tensor([1.5, 8, 0, 0])]
    check_losses(same, same, "float32")
    close = [same[0] * (1 + 5e-7), same[1]]
    check_losses(same, close, "float32")
    for place in (0, 1):
        other = [*same]
        other[place] = same[place] * (1 + 1e-5)
        with pytest.raises(UserError, match=f"in step {place + 1}"):
            check_losses(same, other, "float32")
        other[place] = same[place] * torch.nan
        with pytest.raises(UserError, match="cuda_graph: false"):
            check_losses(same, other, "float32")
    check_losses(same, [same[0], same[1] * (1 + 1e-4)], "bfloat16")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", ["linear", "lstm", "transformer"])
def test_the_graph_trains_as_the_plain_step(name: str) -> None:
    block = make_block(torch.float32)
    there = replace(
        block,
        inputs=ResidentPanel(block.inputs.values.cuda(), LENGTH, block.inputs.valid),
        targets=block.targets.cuda(),
        mask=block.mask.cuda(),
        symbols_on_device=block.symbols_on_device.cuda(),
    )
    network = make_network(NetworkSpec(name, 8), (LENGTH, CHANNELS), seed=1).cuda()
    loss = make_loss("pointwise")
    plain = make_step(PlainStep, there, loss, network)
    graph = make_step(GraphStep, there, loss, network)
    wanted, got = run(plain, there, 3), run(graph, there, 3)
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-4)
