"""Memory that a data set and one batch add to a process, ours or the plain one."""

from __future__ import annotations

import ctypes
import gc
import json
import os
import subprocess
import sys
from dataclasses import fields, is_dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.harness import PROJECT
from benchmarks.loop_panel import LoopPanel, simulate_panel
from benchmarks.loop_sides import our_cells
from benchmarks.naive_loop import NaiveDataset, naive_collate

BATCH, LENGTH = 32, 64
# Freed blocks go back to the system at once, or later ones would hide in them.
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "0"}


def added_megabytes(side: str, normalization: str) -> float:
    """Resident memory that one side adds, measured in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.loop_memory", side, normalization]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    done = subprocess.run(
        command,
        cwd=PROJECT,
        env=os.environ | threads | ALLOCATOR,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return float(json.loads(done.stdout.strip().splitlines()[-1]))


def held_bytes(value: object) -> int:
    """Bytes of the tensors and arrays that an object holds, each counted once."""
    return sum(_storages(value).values())


def _storages(value: object) -> dict[int, int]:
    if isinstance(value, torch.Tensor):
        storage = value.untyped_storage()
        return {storage.data_ptr(): storage.nbytes()}
    if isinstance(value, np.ndarray):
        while isinstance(value.base, np.ndarray):
            value = value.base
        return {value.ctypes.data: value.nbytes}
    found: dict[int, int] = {}
    parts: list[object] = []
    if isinstance(value, dict):
        parts = list(value.values())
    elif is_dataclass(value):
        parts = [getattr(value, each.name) for each in fields(value)]
    for part in parts:
        found |= _storages(part)
    return found


def _ours(panel: LoopPanel, normalization: str) -> object:
    block = our_cells(panel, LENGTH, normalization)
    batch = next(block.batches(np.arange(block.n_bars - BATCH, block.n_bars), BATCH))
    return block, batch, batch.windows()


def _naive(panel: LoopPanel, normalization: str) -> object:
    dataset = NaiveDataset(panel.ohlcv, panel.targets, LENGTH, normalization)
    return dataset, naive_collate(
        [dataset[i] for i in range(len(dataset) - BATCH, len(dataset))]
    )


def _resident_megabytes() -> float:
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # freed blocks inside the heap are nobody's
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main(side: str, normalization: str) -> None:
    """Print what the data set and the batch add."""
    torch.set_num_threads(1)
    task = {"ours": _ours, "naive": _naive}[side]
    panel = simulate_panel(length=LENGTH)
    task(simulate_panel(40, 2 * BATCH, LENGTH), normalization)  # lazy imports
    before = _resident_megabytes()
    held = task(panel, normalization)
    print(json.dumps(_resident_megabytes() - before))
    del held


if __name__ == "__main__":
    main(*sys.argv[1:])
