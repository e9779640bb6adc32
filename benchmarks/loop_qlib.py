"""Our loop beside qlib's recurrent networks: windows of 20 bars of 20 factors."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np

from benchmarks import qlib_rnn
from benchmarks.harness import PROJECT, Row, row
from benchmarks.loop_sides import MICRO, Bars, take_turns, timed
from ranking_pipeline.learning.cross_sections import CrossSections
from ranking_pipeline.learning.networks import NetworkSpec
from ranking_pipeline.learning.windows import ResidentPanel


class _Peer:
    """The process that trains qlib's networks when it is told to."""

    def __init__(self, python: Path) -> None:
        threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        self._process = subprocess.Popen(
            [str(python), str(PROJECT / "benchmarks" / "qlib_rnn.py")],
            env=os.environ | dict.fromkeys(threads, "1"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._answer("READY")

    def seconds(self, network: str) -> float:
        """Processor seconds of one training pass."""
        assert self._process.stdin is not None
        print(network, file=self._process.stdin, flush=True)
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


def qlib_rows(python: Path, rounds: int) -> list[Row]:
    """Train two layers of 64 units on 8,000 windows, 800 a step, squared error.

    Ours takes the 400 names of two bars where qlib takes 800 random windows. The rows
    of the network alone have its windows ready and no loss: what no loop can beat.
    """
    bars, peer = _bars(), _Peer(python)
    try:
        return [
            each
            for name in ("lstm", "gru")
            for each in _beside_qlib(name, bars, peer, rounds)
        ]
    finally:
        peer.close()


def _bars() -> Bars:
    """The same factors as the peer's, and as many windows."""
    values, labels = qlib_rnn.factors()
    inputs = ResidentPanel.build(values, qlib_rnn.LENGTH)
    everything = np.ones(inputs.valid.shape, dtype=np.bool_)
    block = CrossSections.build(inputs, labels.T, everything)
    number = qlib_rnn.BATCH * qlib_rnn.BATCHES // qlib_rnn.SYMBOLS
    return Bars(block, np.random.default_rng(0).permutation(block.n_bars)[:number])


def _beside_qlib(name: str, bars: Bars, peer: _Peer, rounds: int) -> list[Row]:
    network = bars.network(NetworkSpec(name, qlib_rnn.HIDDEN, qlib_rnn.LAYERS))
    bars_per_batch = qlib_rnn.BATCH // qlib_rnn.SYMBOLS
    ours, theirs, bare = take_turns(
        rounds,
        timed(bars.our_pass(network, bars_per_batch, "pointwise")),
        lambda: peer.seconds(name),
        timed(bars.bare_pass(network, bars_per_batch)),
    )
    loop, other, alone = (
        [MICRO * each / bars.n_windows for each in part]
        for part in (ours, theirs, bare)
    )
    return [
        row(f"qlib {name}", "us/window", loop, other),
        row(f"qlib {name}, network alone", "us/window", alone, other),
    ]
