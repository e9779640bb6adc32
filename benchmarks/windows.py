"""windows: preparing a panel and gathering its windows, beside plain ways to do so.

The panel has 500 symbols, 1,000 decision bars, windows of 64 bars with 5 channels, and
82 % of its windows complete; an epoch visits 128 of its bars, 32 a step. Preparation is
measured on 60 symbols. One thread, processor seconds, the sides in turn.

The peer of ``prepare`` is the plain data set of ``benchmarks/naive_loop.py``, which cuts
and normalises every window once and stores it. The peers of the data paths go over such
windows; ours gathers and normalises them anew each time.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from benchmarks import qlib_windows
from benchmarks.harness import PROJECT, Row, row
from benchmarks.loop_panel import LoopPanel, simulate_panel
from benchmarks.loop_sides import (
    ANCHORED,
    MICRO,
    PER_BAR,
    Sides,
    alternate,
    our_cells,
    take_turns,
    timed,
)
from benchmarks.naive_loop import NaiveDataset, Sample
from ranking_pipeline.learning.channels import build_channels
from ranking_pipeline.learning.cross_sections import CrossSections
from ranking_pipeline.learning.dense import dense_scores
from ranking_pipeline.learning.networks import NetworkSpec, make_network
from ranking_pipeline.learning.streaming import make_inputs
from ranking_pipeline.learning.windows import Inputs, ResidentPanel

LENGTH, BATCH, EPOCH_BARS = 64, 32, 128
PREPARED_SYMBOLS, DENSE_BARS = 60, 8
TCN = NetworkSpec("tcn", hidden=32)
GATHERS = 10
Cells = tuple[Tensor, Tensor]


def run(rounds: int | None, peer_python: Path | None = None) -> list[Row]:
    """Measure every part of the way from bars to batches of windows.

    Parameters
    ----------
    rounds
        7 by default.
    peer_python
        Interpreter that has qlib; without one its row is left out.
    """
    torch.set_num_threads(1)
    number = rounds or 7
    panel = simulate_panel(length=LENGTH)
    rows = _gather(panel, number)
    rows += [_prepare(name, number) for name in (ANCHORED, PER_BAR, "zscore")]
    for name in (ANCHORED, PER_BAR, "zscore"):
        rows += _data_path(panel, name, number)
    rows += [*_dense(panel, number), *_streamed(panel, number), _memory(panel)]
    if peer_python is not None:
        rows.append(_qlib(peer_python, number))
    return rows


def _per_window(
    case: str, windows: int, ours: Sequence[float], peer: Sequence[float]
) -> Row:
    scale = MICRO / windows
    return row(case, "us/window", [s * scale for s in ours], [s * scale for s in peer])


def _gather(panel: LoopPanel, rounds: int) -> list[Row]:
    """The windows of 32 bars: ours, by rows of bars, and by an index on the view."""
    block = our_cells(panel, LENGTH, PER_BAR)
    inputs = block.inputs
    assert isinstance(inputs, ResidentPanel)
    (batch,) = block.batches(np.arange(300, 300 + BATCH), BATCH)
    symbols, bars = batch.symbols, batch.bars
    n_bars = inputs.values.shape[1]
    flat, ages = inputs.values.flatten(0, 1), torch.arange(1 - LENGTH, 1)
    view = inputs.values.unfold(1, LENGTH, 1)  # (S, T - L + 1, C, L)

    def by_rows() -> Tensor:
        last = symbols * n_bars + bars
        found = flat.index_select(0, (last.unsqueeze(1) + ages).flatten())  # (N * L, C)
        return found.view(-1, LENGTH, flat.shape[1])

    def by_index() -> Tensor:
        return view[symbols, bars - LENGTH + 1].transpose(1, 2)  # (N, L, C)

    expected = inputs.windows(symbols, bars)
    assert torch.equal(by_rows(), expected)
    assert torch.equal(by_index(), expected)
    ours, rows, index = alternate(
        rounds,
        _repeated(lambda: inputs.windows(symbols, bars)),
        _repeated(by_rows),
        _repeated(by_index),
    )
    number = GATHERS * len(symbols)
    return [
        _per_window("gather", number, ours, rows),
        _per_window("gather, index on the view", number, ours, index),
    ]


def _repeated(task: Callable[[], object]) -> Callable[[], None]:
    def several() -> None:
        for _ in range(GATHERS):
            task()

    return several


def _prepare(name: str, rounds: int) -> Row:
    """From raw bars to cells that can be trained on."""
    panel = simulate_panel(PREPARED_SYMBOLS, length=LENGTH)
    seconds = alternate(
        rounds,
        lambda: our_cells(panel, LENGTH, name),
        lambda: NaiveDataset(panel.ohlcv, panel.targets, LENGTH, name),
    )
    cells = our_cells(panel, LENGTH, name).n_cells
    return _per_window(f"prepare {name}", cells, *seconds)


def _data_path(panel: LoopPanel, name: str, rounds: int) -> list[Row]:
    """An epoch without a network: windows, targets and masks in batches.

    The first peer keeps every window by itself and stacks those of each bar in its
    collate function; the second one takes them out of one array by an index per bar.
    """
    sides = Sides.of(panel, LENGTH, name, EPOCH_BARS)
    samples = [_names(sides.dataset[place]) for place in range(len(sides.dataset))]
    stacking: Iterable[object] = DataLoader(
        cast(Dataset[list[Window]], samples), BATCH, collate_fn=stacked_and_padded
    )

    def ours() -> None:
        for batch in sides.batches(BATCH):
            batch.windows()
            sides.block.targets.index_select(0, batch.rows)

    tasks = [lambda: deque(stacking, 0), lambda: deque(sides.loader(BATCH), 0)]
    mine, each, ready = alternate(rounds, ours, *tasks)
    return [
        _per_window(f"data path {name}", sides.n_windows, mine, each),
        _per_window(f"data path {name}, one array", sides.n_windows, mine, ready),
    ]


class Window(NamedTuple):
    """One window (L, C) and its target, as a plain data set keeps them."""

    values: Tensor
    target: Tensor


def _names(bar: Sample) -> list[Window]:
    pairs = zip(bar.windows.unbind(), bar.targets.unbind(), strict=True)
    return [Window(values, target) for values, target in pairs]


def stacked_and_padded(bars: list[list[Window]]) -> tuple[Tensor, Tensor, Tensor]:
    """Stack the names of each bar and pad the bars to the widest one."""
    widest, shape = max(map(len, bars)), bars[0][0].values.shape
    windows = torch.zeros(len(bars), widest, *shape)
    targets, mask = torch.zeros(len(bars), widest), torch.zeros(len(bars), widest)
    for place, names in enumerate(bars):
        windows[place, : len(names)] = torch.stack([name.values for name in names])
        targets[place, : len(names)] = torch.stack([name.target for name in names])
        mask[place, : len(names)] = 1.0
    return windows, targets, mask


def _dense(panel: LoopPanel, rounds: int) -> list[Row]:
    """A convolutional network over all series, beside 8 bars of windows one by one.

    The first peer computes every bar of every layer of a window, the second one is our
    own windowed path, which leaves out what no later layer reads.
    """
    block = our_cells(panel, LENGTH, PER_BAR)
    network = make_network(TCN, block.inputs.sample_shape, seed=0).eval()
    (batch,) = block.batches(np.arange(500, 500 + DENSE_BARS), DENSE_BARS)

    @torch.no_grad()
    def plain() -> None:
        network.score_series(batch.windows())

    @torch.no_grad()
    def pruned() -> None:
        network(batch.windows(), batch.layout)

    seconds = alternate(rounds, lambda: dense_scores(network, block), plain, pruned)
    cells = (block.n_cells, len(batch.symbols), len(batch.symbols))
    dense, every, few = (
        [MICRO * s / n for s in part] for part, n in zip(seconds, cells, strict=True)
    )
    return [
        row("dense tcn", "us/window", dense, every),
        row("dense tcn, pruned windows", "us/window", dense, few),
    ]


def _streamed(panel: LoopPanel, rounds: int) -> list[Row]:
    """Streamed against resident: a quarter of the panel on the device.

    Once the data path alone, and once with a small LSTM that scores each window.
    """
    channels = build_channels(panel.ohlcv, PER_BAR)
    budget = channels.nbytes // 4
    everything = np.ones(panel.targets.shape, dtype=np.bool_)
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "channels.npy"
        np.save(file, channels)
        mapped = np.load(file, mmap_mode="r")
        resident, streamed = (
            CrossSections.build(inputs, panel.targets, everything)
            for inputs in (
                make_inputs(channels, LENGTH),
                make_inputs(mapped, LENGTH, budget_bytes=budget),
            )
        )
        size, rows = resident.n_cells, []
        for case, work in (("data path", _touch), ("lstm", _scored())):
            tasks = [_epoch(block, work) for block in (streamed, resident)]
            ours, peer = alternate(rounds if case == "data path" else 3, *tasks)
            rows.append(_per_window(f"streamed {case}", size, ours, peer))
    return rows


def _touch(windows: Tensor) -> None:
    windows.shape  # noqa: B018 - the windows are gathered, nothing else


def _scored() -> Callable[[Tensor], None]:
    network = torch.nn.LSTM(5, 16, batch_first=True)

    @torch.no_grad()
    def work(windows: Tensor) -> None:
        network(windows)

    return work


def _epoch(block: CrossSections, work: Callable[[Tensor], None]) -> Callable[[], None]:
    """Go over all bars, span by span, in batches of 32 bars."""
    spans = block.inputs.spans
    edges = [np.searchsorted(block.bars, span) for span in spans]

    def task() -> None:
        for place, (first, stop) in enumerate(edges):
            following = place + 1 if place + 1 < len(spans) else None
            opened = block.inputs.open(place, following)
            for batch in block.batches(np.arange(first, stop), BATCH):
                work(opened.windows(batch.symbols, batch.bars))

    return task


def _memory(panel: LoopPanel) -> Row:
    """Bytes of the panel and its tables, beside every window stored."""
    inputs: Inputs = our_cells(panel, LENGTH, PER_BAR).inputs
    assert isinstance(inputs, ResidentPanel)
    stored = int(inputs.valid.sum()) * LENGTH * panel.ohlcv.shape[2] * 4
    held = inputs.values.untyped_storage().nbytes() + inputs.valid.nbytes
    return row("memory", "MB", [held / 1e6], [stored / 1e6])


def _qlib(python: Path, rounds: int) -> Row:
    """2,000 random windows in batches of 500."""
    inputs = ResidentPanel.build(qlib_windows.channels(), LENGTH)
    shape = (qlib_windows.BATCHES, qlib_windows.BATCH)
    cells = torch.from_numpy(np.argwhere(inputs.valid))
    drawn = torch.randperm(len(cells))[: shape[0] * shape[1]].view(shape)

    def ours() -> None:
        for part in drawn:
            bars, symbols = cells.index_select(0, part).unbind(1)
            inputs.windows(symbols, bars)

    peer = _Peer(python)
    try:
        # A clock needs more than a millisecond to measure ours.
        several = timed(_repeated(ours))
        mine, theirs = take_turns(rounds, lambda: several() / GATHERS, peer.seconds)
    finally:
        peer.close()
    return _per_window("qlib loader", shape[0] * shape[1], mine, theirs)


class _Peer:
    """The process that goes over qlib's windows."""

    def __init__(self, python: Path) -> None:
        script = str(PROJECT / "benchmarks" / "qlib_windows.py")
        self._process = subprocess.Popen(
            [str(python), script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._answer("READY")

    def seconds(self) -> float:
        """Processor seconds of the same number of windows."""
        assert self._process.stdin is not None
        print("again", file=self._process.stdin, flush=True)
        return float(self._answer("SECONDS"))

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def _answer(self, word: str) -> str:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(word):
                return line.removeprefix(word).strip()
        raise RuntimeError("the process of the peer ended early")
