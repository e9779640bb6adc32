"""The order in which an epoch visits the bars: random bars, blocks and spans."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from training_world import BARS, CONFIG, LENGTH, blocks, ic, network_of, world

from ranking_pipeline.learning.cross_sections import CrossSections
from ranking_pipeline.learning.device import SingleProcess
from ranking_pipeline.learning.epochs import EpochPlan, epoch_spans, n_steps
from ranking_pipeline.learning.loop import LoopConfig, score, train
from ranking_pipeline.learning.losses import make_loss
from ranking_pipeline.learning.windows import Inputs, ResidentPanel


class Spanned:
    """Inputs that can give the windows of one span at a time."""

    def __init__(self, inner: ResidentPanel, edges: list[int]) -> None:
        self.inner = inner
        self.device, self.valid = inner.device, inner.valid
        self.sample_shape, self.series_ready = inner.sample_shape, False
        self.spans = tuple(pairwise(edges))
        self.opened: list[tuple[int, int | None]] = []
        self.now: tuple[int, int] | None = None

    def open(self, span: int, following: int | None = None) -> Inputs:
        self.opened.append((span, following))
        self.now = self.spans[span]
        return self

    def windows(self, symbols: Tensor, bars: Tensor) -> Tensor:
        assert self.now is not None
        assert self.now[0] <= int(bars.min())
        assert int(bars.max()) < self.now[1]
        return self.inner.windows(symbols, bars)


def steps_of(
    block: CrossSections, config: LoopConfig, epoch: int = 1
) -> list[list[int]]:
    planned = epoch_spans(block, config, epoch)
    return [rows.tolist() for _, steps in planned for rows in steps]


def test_one_span_is_one_seeded_permutation() -> None:
    block = blocks(*world())[0]
    order = np.random.default_rng([CONFIG.seed, 3]).permutation(block.n_bars)
    found = steps_of(block, CONFIG, 3)
    assert [len(step) for step in found[:-1]] == [8] * (len(found) - 1)
    assert np.concatenate(found).tolist() == order.tolist()
    assert steps_of(block, CONFIG, 3) == found
    assert steps_of(block, replace(CONFIG, seed=1), 3) != found


def test_blocks_are_neighbours_in_a_new_order_each_epoch() -> None:
    block = blocks(*world())[0]
    config = replace(CONFIG, bars_per_block=9)
    found = steps_of(block, config)
    assert sorted(row for step in found for row in step) == list(range(block.n_bars))
    for step in found:
        assert step == list(range(step[0], step[0] + len(step)))
        assert step[0] % 9 == 0
    assert found != sorted(found)
    assert found != steps_of(block, config, 2)
    in_order = steps_of(block, replace(config, shuffle_timestamps=False))
    assert in_order == sorted(found)
    # A short block may stand anywhere, and the epoch may end inside a block.
    limited = steps_of(block, replace(config, timestamps_per_epoch=13))
    assert sum(len(step) for step in limited) == 13
    assert limited[0] == found[0]


@given(
    edges=st.lists(st.integers(1, BARS - 1), max_size=5, unique=True),
    limit=st.one_of(st.none(), st.integers(1, 70)),
    per_block=st.one_of(st.none(), st.integers(1, 30)),
    epoch=st.integers(1, 5),
)
def test_spans_are_visited_one_after_the_other(
    edges: list[int], limit: int | None, per_block: int | None, epoch: int
) -> None:
    inputs, targets = world()
    spanned = Spanned(inputs, [0, *sorted(edges), BARS])
    block = blocks(spanned, targets)[0]
    config = replace(CONFIG, timestamps_per_epoch=limit, bars_per_block=per_block)
    planned = epoch_spans(block, config, epoch)
    rows = [row for _, steps in planned for step in steps for row in step.tolist()]
    assert len(rows) == len(set(rows)) == min(limit or BARS, block.n_bars)
    for span, steps in planned:
        first, stop = spanned.spans[span]
        for step in steps:
            assert len(step)
            assert (block.bars[step] >= first).all()
            assert (block.bars[step] < stop).all()
    assert len({span for span, _ in planned}) == len(planned)


def test_spans_are_opened_once_an_epoch_with_the_next_one_announced() -> None:
    inputs, targets = world()
    spanned = Spanned(inputs, [0, 11, 30, 31, BARS])
    block = blocks(spanned, targets)[0]
    plan = EpochPlan.make(block, CONFIG, 1)
    everything = list(plan.batches(SingleProcess()))
    order = [span for span, _ in plan.spans]
    assert spanned.opened == list(zip(order, [*order[1:], None], strict=True))
    for skip in (0, 1, 5, len(everything) - 1, len(everything)):
        left = list(plan.batches(SingleProcess(), skip))
        assert len(left) == len(everything) - skip
        for one, other in zip(left, everything[skip:], strict=True):
            assert torch.equal(one.rows, other.rows)
            assert torch.equal(one.layout.slots, other.layout.slots)


def test_training_on_spans_sees_the_same_cells_and_scores_the_same() -> None:
    inputs, targets = world()
    one, many = ([0, BARS], [0, 22, 47, BARS])
    results = []
    for spans in (None, one, many):
        there = inputs if spans is None else Spanned(inputs, spans)
        both = blocks(there, targets)
        network = network_of("mlp", 0.1)
        result = train(network, make_loss("pairwise"), both, ic, CONFIG)
        scores = score(network, both[1], 4)[0]
        results.append((result, scores))
        if spans == many:
            resident = score(network, blocks(inputs, targets)[1])[0]
            torch.testing.assert_close(scores, resident, rtol=0, atol=1e-6)
    assert results[0][0].history == results[1][0].history
    assert torch.equal(results[0][1], results[1][1])
    assert results[2][0].best_metric > 0.4


def test_each_process_takes_its_bars_of_every_step() -> None:
    block = blocks(*world())[0]
    order = np.random.default_rng(0).permutation(block.n_bars)[:21]
    whole = list(block.batches(order, 8))
    parts = [list(block.batches(order, 8, rank, 3)) for rank in range(3)]
    for place, batch in enumerate(whole):
        rows = [parts[rank][place].rows.tolist() for rank in range(3)]
        assert rows == [batch.rows.tolist()[rank::3] for rank in range(3)]
        assert sum(parts[rank][place].n_cells for rank in range(3)) == batch.n_cells


@pytest.mark.parametrize("size", [1, 3])
def test_scoring_visits_every_bar_once_and_in_order(size: int) -> None:
    inputs, targets = world()
    block = blocks(Spanned(inputs, [0, 22, 47, BARS]), targets)[0]

    class Process:
        def __init__(self, rank: int) -> None:
            self.rank, self.size = rank, size

        def all_reduce_(self, tensor: Tensor) -> Tensor:
            return tensor

    seen: list[int] = []
    for rank in range(size):
        plan = EpochPlan.whole(block, 5, Process(rank))
        rows = [r for b in plan.batches(SingleProcess()) for r in b.rows.tolist()]
        assert rows == sorted(rows)
        seen += rows
    assert sorted(seen) == list(range(block.n_bars))


def test_spans_of_a_single_bar_leave_no_process_without_work() -> None:
    """A process without scores would not join the sum that the others wait for."""
    inputs, targets = world()
    block = blocks(Spanned(inputs, [0, *range(LENGTH, BARS + 1)]), targets)[1]

    class Process:
        size = 2

        def __init__(self, rank: int) -> None:
            self.rank, self.sums = rank, list[Tensor]()

        def all_reduce_(self, tensor: Tensor) -> Tensor:
            self.sums.append(tensor)
            return tensor

    processes = [Process(0), Process(1)]
    for process in processes:
        score(network_of("linear"), block, 4, process)
    sums = [process.sums for process in processes]
    assert [len(each) for each in sums] == [1, 1]
    assert all((each[0] != 0).any(dim=1).sum() >= block.n_bars // 2 for each in sums)


def test_steps_of_a_training_are_counted_beforehand() -> None:
    block = blocks(*world())[0]
    taken: list[int] = []
    config = replace(CONFIG, bars_per_block=7, timestamps_per_epoch=40)
    train(
        network_of("linear"),
        make_loss("ic"),
        (block, None),
        ic,
        config,
        on_step=taken.append,
    )
    assert len(taken) == n_steps(block, config)
