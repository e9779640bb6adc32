"""cs_loop: the training loop beside a plain one, the bare network, and qlib.

The panel has 500 symbols, 1,000 decision bars, windows of 64 bars with 5 channels, and
82 % of its windows complete. A step holds the names of 32 bars, tails of 20 %. Ours
takes every pair of the tails; the plain loop draws 100 a bar. One thread, processor
seconds, the sides in turn.

To end in minutes, a round of the linear network visits 128 bars, a round of the LSTM 32
and a round of the transformer 8, each of the two in one step. The plain convolutional
network is measured on 8 bars; over whole series it scores all bars and trains on 32.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.harness import Row, row
from benchmarks.loop_dense import dense_rows
from benchmarks.loop_memory import added_megabytes, held_bytes
from benchmarks.loop_panel import LoopPanel, simulate_panel
from benchmarks.loop_qlib import qlib_rows
from benchmarks.loop_sides import ANCHORED, MICRO, PER_BAR, Sides, alternate, our_cells
from benchmarks.naive_loop import NaiveDataset
from benchmarks.op_counts import count_operations
from ranking_pipeline.learning.device import torch_threads
from ranking_pipeline.learning.losses import make_loss
from ranking_pipeline.learning.networks import NetworkSpec
from ranking_pipeline.learning.steps import block_tables

LENGTH, BATCH = 64, 32
LINEAR = NetworkSpec("linear")
LSTM = NetworkSpec("lstm", hidden=64)
TRANSFORMER = NetworkSpec("transformer", hidden=64, layers=2)
PREPARED_SYMBOLS, PREPARED_BARS = 60, 1000


def run(rounds: int | None, peer_python: Path | None = None) -> list[Row]:
    """Measure every part of the loop.

    Parameters
    ----------
    rounds
        5 by default.
    peer_python
        Interpreter that has qlib; without one its rows are left out.
    """
    with torch_threads(1):
        return _rows(rounds or 5, peer_python)


def _rows(number: int, peer_python: Path | None) -> list[Row]:
    panel = simulate_panel(length=LENGTH)
    anchored = Sides.of(panel, LENGTH, ANCHORED, 4 * BATCH)
    per_bar = Sides.of(panel, LENGTH, PER_BAR, 4 * BATCH)
    rows = [_prepare(number)]
    rows += [_data_path("anchored", anchored, number)]
    rows += [_data_path("per-bar", per_bar, number)]
    rows += _counts(panel)
    rows += [_step("linear anchored", anchored, LINEAR, BATCH, number)]
    rows += [_step("linear per-bar", per_bar, LINEAR, BATCH, number)]
    few = Sides.of(panel, LENGTH, ANCHORED, BATCH)
    fewer = Sides.of(panel, LENGTH, ANCHORED, BATCH // 4)
    rows += _step_and_overhead("lstm", few, LSTM, number)
    rows += _step_and_overhead("transformer", fewer, TRANSFORMER, number)
    rows += dense_rows(panel, LENGTH, number)
    rows += _memory(panel)
    if peer_python is not None:
        rows += qlib_rows(peer_python, number)
    return rows


def _per_window(
    case: str, windows: int, ours: Sequence[float], peer: Sequence[float]
) -> Row:
    scale = MICRO / windows
    return row(case, "us/window", [s * scale for s in ours], [s * scale for s in peer])


def _prepare(rounds: int) -> Row:
    """From arrays to cells that can be trained on."""
    panel = simulate_panel(PREPARED_SYMBOLS, PREPARED_BARS, LENGTH)
    cells = our_cells(panel, LENGTH, ANCHORED).n_cells
    seconds = alternate(
        rounds,
        lambda: our_cells(panel, LENGTH, ANCHORED),
        lambda: NaiveDataset(panel.ohlcv, panel.targets, LENGTH, ANCHORED),
    )
    return _per_window("prepare", cells, *seconds)


def _data_path(case: str, sides: Sides, rounds: int) -> Row:
    """Batches of windows, targets and masks, without a network."""
    block = sides.block
    loader = sides.loader(BATCH)

    def ours() -> None:
        for batch in sides.batches(BATCH):
            batch.windows()
            block.targets.index_select(0, batch.rows)

    def naive() -> None:
        for _ in loader:
            pass

    seconds = alternate(rounds, ours, naive)
    return _per_window(f"data path {case}", sides.n_windows, *seconds)


def _counts(panel: LoopPanel) -> list[Row]:
    """Operations and waits of one step at several batch sizes."""
    rows, waits = [], []
    for bars in (8, 32, 64):
        (ours, our_waits), (naive, naive_waits) = _count(panel, bars)
        rows.append(row(f"ops linear B={bars}", "per step", [ours], [naive]))
        waits.append((our_waits, naive_waits))
    most = max(ours for ours, _ in waits)
    # No ratio: ours is to be zero.
    return [*rows, row("syncs", "per step", [most]) | {"peer": waits[1][1]}]


def _count(panel: LoopPanel, bars: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Operations and waits of the second step; ours with the making of its batch."""
    sides = Sides.of(panel, LENGTH, ANCHORED, 2 * bars)
    network = sides.network(LINEAR)
    step, plain = sides.our_step(network), sides.naive_step(network)
    batches, padded = sides.batches(bars), iter(sides.loader(bars))
    step(next(batches))
    plain(next(padded))
    second = next(padded)
    ours, our_waits = count_operations(lambda: step(next(batches)))
    naive, naive_waits = count_operations(lambda: plain(second))
    return (ours.total(), our_waits), (naive.total(), naive_waits)


def _step(case: str, sides: Sides, spec: NetworkSpec, bars: int, rounds: int) -> Row:
    network = sides.network(spec)
    seconds = alternate(
        rounds, sides.our_pass(network, bars), sides.naive_pass(network, bars)
    )
    return _per_window(f"step {case}", sides.n_windows, *seconds)


def _step_and_overhead(
    case: str, sides: Sides, spec: NetworkSpec, rounds: int
) -> list[Row]:
    """Step beside the plain loop, and in percent above the network alone.

    With it the share of slots that the plain loop computes for nothing: where the
    network is all of the cost, leaving them out is all that a loop can gain.
    """
    network, bars = sides.network(spec), len(sides.rows)
    ours, naive, bare = alternate(
        rounds,
        sides.our_pass(network, bars),
        sides.naive_pass(network, bars),
        sides.bare_pass(network, bars),
    )
    above = [100 * (a / b - 1) for a, b in zip(ours, bare, strict=True)]
    return [
        _per_window(f"step {case}", sides.n_windows, ours, naive),
        row(f"overhead {case}", "percent", above),
        row(f"padded slots {case}", "percent", [100 * (1 - sides.filled_share(bars))]),
    ]


def _memory(panel: LoopPanel) -> list[Row]:
    """Added by a data set and a batch; held beside the bytes of the bars themselves."""
    raw = panel.ohlcv.nbytes / 2**20
    loss = make_loss("pairwise")
    rows = [
        row(
            "memory",
            "MB",
            [added_megabytes("ours", ANCHORED)],
            [added_megabytes("naive", ANCHORED)],
        )
    ]
    for case, normalization in (("anchored", ANCHORED), ("per-bar", PER_BAR)):
        block = our_cells(panel, LENGTH, normalization)
        held = held_bytes(block) + held_bytes(block_tables(loss, block))
        rows.append(row(f"memory held {case}", "MB", [held / 2**20], [raw]))
    return rows
