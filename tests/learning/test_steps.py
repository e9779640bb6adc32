"""Steps: other ways through a batch leave the gradients of the plain one."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from training_world import (
    CHANNELS,
    CONFIG,
    LENGTH,
    Causal,
    blocks,
    gradients,
    network_of,
    step_of,
    world,
)

from ranking_pipeline.errors import UserError
from ranking_pipeline.learning.cross_sections import Batch, CrossSections
from ranking_pipeline.learning.device import SingleProcess
from ranking_pipeline.learning.layout import Layout
from ranking_pipeline.learning.losses.base import mean_over_days
from ranking_pipeline.learning.steps import (
    CachedStep,
    DenseStep,
    PlainStep,
    StepResult,
    chunks_of,
)
from ranking_pipeline.learning.windows import Inputs, ResidentPanel


class Doubled:
    """Inputs whose windows are float64."""

    def __init__(self, inputs: ResidentPanel) -> None:
        self.inner = inputs
        self.device, self.valid = inputs.device, inputs.valid
        self.sample_shape, self.spans = inputs.sample_shape, inputs.spans
        self.series_ready = False

    def open(self, span: int, following: int | None = None) -> Inputs:
        return self

    def windows(self, symbols: Tensor, bars: Tensor) -> Tensor:
        return self.inner.windows(symbols, bars).double()


class Meeting(nn.Module):
    """Names of a bar see the mean of their bar; dropout on the way."""

    crosses = True

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.inner = nn.Linear(LENGTH * CHANNELS, 6)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(6, 1)

    def forward(self, windows: Tensor, layout: Layout) -> Tensor:
        hidden = self.dropout(torch.tanh(self.inner(windows.flatten(1))))
        matrix = layout.spread(hidden)  # (B, S, 6)
        count = layout.mask.sum(dim=1)[:, None, None].clamp(min=1)
        met = hidden - layout.collect(
            (matrix.sum(dim=1, keepdim=True) / count).expand_as(matrix)
        )
        scores: Tensor = self.head(met).squeeze(1)
        return scores


def network_named(name: str, dropout: float = 0.0) -> nn.Module:
    torch.manual_seed(4)
    return Meeting(dropout) if name == "meeting" else network_of(name, dropout)


def prepared(double: bool) -> tuple[CrossSections, Batch]:
    inputs, targets = world()
    block = blocks(Doubled(inputs) if double else inputs, targets)[0]
    if double:
        block = replace(block, targets=block.targets.double())
    return block, next(block.batches(np.arange(3, 23), 20))


@pytest.mark.parametrize("name", ["mlp", "gru", "meeting"])
@pytest.mark.parametrize("limit", [1, 37, 64, 10_000])
@pytest.mark.parametrize("loss", ["pairwise", "listwise"])
def test_the_score_cache_has_the_gradients_of_one_pass(
    name: str, limit: int, loss: str
) -> None:
    if limit == 1 and name == "gru":
        limit = 7
    for double, tolerance in ((True, 1e-12), (False, 1e-5)):
        block, batch = prepared(double)
        network = network_named(name)
        network = network.double() if double else network
        plain = step_of(network, block, CONFIG, loss)
        config = replace(CONFIG, max_windows_per_pass=limit)
        cached = step_of(network, block, config, loss)
        assert type(plain) is PlainStep
        assert type(cached) is CachedStep
        expected = gradients(plain, batch)
        for key, value in gradients(cached, batch).items():
            torch.testing.assert_close(
                value, expected[key], rtol=tolerance, atol=tolerance
            )


def test_the_score_cache_reports_the_sums_of_one_pass() -> None:
    block, batch = prepared(double=True)
    network = network_named("mlp").double()
    config = replace(CONFIG, max_windows_per_pass=50)
    expected = step_of(network, block).backward(batch)
    for one, other in zip(
        step_of(network, block, config).backward(batch), expected, strict=True
    ):
        assert one.item() == pytest.approx(other.item(), rel=1e-12)


@pytest.mark.parametrize("name", ["mlp", "meeting"])
def test_the_score_cache_drops_the_same_units_in_both_passes(name: str) -> None:
    """Against chunks that keep their graphs, which only a small batch can afford."""
    block, batch = prepared(double=True)
    network = network_named(name, dropout=0.5).double().train()
    config = replace(CONFIG, max_windows_per_pass=40)
    cached = step_of(network, block, config)

    torch.manual_seed(8)
    chunks = chunks_of(batch, 40, whole_bars=name == "meeting")
    assert len(chunks) > 4
    scores = torch.cat([network(c.windows(), c.layout) for c in chunks])
    network.zero_grad()
    rows = cached.rows(batch)
    mean_over_days(*cached.loss.per_day(batch.layout.spread(scores), rows)).backward()
    expected = {k: p.grad.clone() for k, p in network.named_parameters()}
    after = torch.get_rng_state()

    torch.manual_seed(8)
    for key, value in gradients(cached, batch).items():
        torch.testing.assert_close(value, expected[key], rtol=1e-12, atol=1e-12)
    # The next step draws on, as it would after one pass.
    assert torch.equal(torch.get_rng_state(), after)


@given(
    counts=st.lists(st.integers(0, 9), min_size=1, max_size=12),
    limit=st.integers(1, 30),
    whole_bars=st.booleans(),
)
def test_chunks_cover_a_batch_in_order(
    counts: list[int], limit: int, whole_bars: bool
) -> None:
    mask = torch.arange(9) < torch.tensor(counts)[:, None]
    slots = mask.flatten().nonzero().squeeze(1)
    batch = Batch(
        None,  # type: ignore[arg-type] - nothing is gathered
        slots % 9,
        slots // 9,
        torch.arange(len(counts)),
        Layout(slots, mask, np.array(counts)),
        np.arange(len(counts)),
    )
    chunks = chunks_of(batch, limit, whole_bars)
    cells = [torch.stack([c.symbols, c.bars]) for c in chunks]
    together = torch.cat([*cells, torch.empty(2, 0, dtype=torch.int64)], dim=1)
    assert torch.equal(together, torch.stack([slots % 9, slots // 9]))
    for chunk in chunks:
        if not whole_bars:
            assert chunk.n_cells <= limit
            continue
        assert chunk.n_cells <= limit or len(chunk.rows) == 1
        assert chunk.layout.counts.tolist() == [counts[row] for row in chunk.rows]
        values = torch.arange(chunk.n_cells) + 1.0
        matrix = chunk.layout.spread(values)
        assert torch.equal(matrix != 0, chunk.layout.mask)
        assert torch.equal(chunk.layout.collect(matrix), values)


def test_a_block_in_one_pass_has_the_gradients_of_its_windows() -> None:
    inputs, targets = world()
    block = blocks(inputs, targets)[0]
    torch.manual_seed(2)
    network = Causal()
    dense = step_of(network, block, replace(CONFIG, bars_per_block=12))
    windowed = step_of(network, block)
    assert type(dense) is DenseStep
    assert type(windowed) is PlainStep
    batch = next(block.batches(np.arange(14, 26), 12))
    expected = gradients(windowed, batch)
    assert max(value.abs().max() for value in expected.values()) > 1e-2
    for key, value in gradients(dense, batch).items():
        torch.testing.assert_close(value, expected[key], rtol=1e-4, atol=1e-6)
    for one, other in zip(dense.backward(batch), windowed.backward(batch), strict=True):
        assert one.item() == pytest.approx(other.item(), rel=1e-5)


def test_a_network_without_series_takes_blocks_window_by_window() -> None:
    block = blocks(*world())[0]
    config = replace(CONFIG, bars_per_block=12)
    assert type(step_of(network_of("mlp"), block, config)) is PlainStep
    limited = replace(config, max_windows_per_pass=20)
    assert type(step_of(network_of("mlp"), block, limited)) is CachedStep
    with pytest.raises(UserError, match="leave one of them out"):
        step_of(Causal(), block, limited)


def test_bfloat16_is_for_the_network_alone() -> None:
    block, batch = prepared(double=False)
    seen: list[torch.dtype] = []
    network = network_of("mlp")
    network.body.body[0].register_forward_hook(
        lambda module, inputs, output: seen.append(output.dtype)
    )
    expected = gradients(step_of(network, block), batch)
    step = step_of(network, block, replace(CONFIG, precision="bfloat16"))
    assert isinstance(step, PlainStep)
    got = gradients(step, batch)
    assert seen == [torch.float32, torch.bfloat16]
    # A ranking loss does not see the last bias: its gradient is rounding alone.
    assert got.pop("head.bias" if "head.bias" in got else "body.head.bias") < 1e-3
    for name, value in got.items():
        assert value.dtype == torch.float32
        close = torch.nn.functional.cosine_similarity(
            value.flatten(), expected[name].flatten(), dim=0
        )
        assert close > 0.99
    scores = step.scores(batch.windows(), batch.layout)
    assert scores.dtype == torch.float32
    assert len(scores.unique()) > 0.95 * len(scores)


def test_options_that_do_not_go_together_are_refused() -> None:
    block = blocks(*world())[0]
    for options, words in (
        ({"precision": "float16"}, "float16.*float32, bfloat16"),
        ({"max_windows_per_pass": 0}, "max_windows_per_pass is 0"),
        ({"bars_per_block": -2}, "bars_per_block is -2"),
        ({"compile": True, "cuda_graph": True}, "use one of them"),
        ({"cuda_graph": True}, "cuda_graph"),
    ):
        with pytest.raises(UserError, match=words):
            step_of(network_of("linear"), block, replace(CONFIG, **options))
    with pytest.raises(UserError, match=r"recurrent.*compile: false"):
        step_of(network_of("gru"), block, replace(CONFIG, compile=True))


@pytest.mark.slow
def test_a_compiled_step_has_the_gradients_of_the_plain_one() -> None:
    block, batch = prepared(double=False)
    network = network_of("mlp")
    expected = gradients(step_of(network, block), batch)
    compiled = step_of(network, block, replace(CONFIG, compile=True))
    small = next(block.batches(np.arange(5), 5))
    for part in (batch, small, batch):
        compiled.network.zero_grad()
        compiled.backward(part)
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad, expected[name], rtol=1e-4, atol=1e-6)


class Together:
    """A group of threads whose all-reduce waits for all of them."""

    def __init__(self, rank: int, size: int, table: Table) -> None:
        self.rank, self.size, self.table = rank, size, table

    def all_reduce_(self, tensor: Tensor) -> Tensor:
        self.table.given[self.rank] = tensor.clone()
        self.table.barrier.wait(timeout=30)
        tensor.copy_(torch.stack(self.table.given).sum(dim=0))
        self.table.barrier.wait(timeout=30)
        return tensor


class Table:
    def __init__(self, size: int) -> None:
        self.given: list[Tensor] = [torch.empty(0)] * size
        self.barrier = threading.Barrier(size)


@pytest.mark.parametrize("n_bars", [20, 7, 2])
def test_processes_that_share_a_batch_take_the_step_of_one(n_bars: int) -> None:
    """Bars that count for the loss are unevenly spread, and one process may have none."""
    inputs, targets = world()
    targets[10:14] = 1.0  # all equal: not counted
    block = blocks(inputs, targets)[0]
    order = np.arange(6, 6 + n_bars)
    alone = network_of("mlp")
    expected = step_of(alone, block)(next(block.batches(order, n_bars)))
    table, networks = Table(3), [network_of("mlp") for _ in range(3)]
    results: list[StepResult | None] = [None] * 3

    def run(rank: int) -> None:
        group = Together(rank, 3, table)
        batch = next(block.batches(order, n_bars, rank, 3))
        results[rank] = step_of(networks[rank], block, group=group)(batch)

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for place, value in enumerate(expected):
        total = sum(result[place].item() for result in results if result is not None)
        assert total == pytest.approx(value.item(), rel=1e-5, abs=1e-6)
    for network in networks:
        for one, other in zip(network.parameters(), alone.parameters(), strict=True):
            torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-7)


class Recorder:
    """One of three processes; it notes the types of what it is to sum."""

    def __init__(self, rank: int) -> None:
        self.rank, self.size = rank, 3
        self.types: list[torch.dtype] = []

    def all_reduce_(self, tensor: Tensor) -> Tensor:
        self.types.append(tensor.dtype)
        return tensor


@pytest.mark.parametrize("double", [False, True])
def test_a_process_without_a_bar_sums_the_types_of_the_others(double: bool) -> None:
    block, _ = prepared(double)
    groups = [Recorder(0), Recorder(2)]
    for group in groups:
        network = network_of("mlp")
        network = network.double() if double else network
        batch = next(block.batches(np.arange(6, 8), 2, group.rank, 3))
        assert (batch.n_cells == 0) == (group.rank == 2)
        step_of(network, block, group=group)(batch)
    expected = torch.float64 if double else torch.float32
    assert groups[0].types == groups[1].types == [expected] * 2


def test_one_process_is_a_group() -> None:
    tensor = torch.tensor([2.0])
    assert SingleProcess().all_reduce_(tensor) is tensor
    assert (SingleProcess().rank, SingleProcess().size) == (0, 1)
