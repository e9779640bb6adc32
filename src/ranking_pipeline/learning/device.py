"""Where the arithmetic runs: device, threads, random state and the group of processes."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ranking_pipeline.errors import UserError

# Apart by more than any seed of a user, so that ranks never share a stream.
_SEED_STRIDE = 1_000_003


class Group(Protocol):
    """Processes that train one network together, each on its own cross-sections."""

    @property
    def rank(self) -> int:
        """Place of this process, from 0."""

    @property
    def size(self) -> int:
        """Number of processes."""

    def all_reduce_(self, tensor: Tensor) -> Tensor:
        """Sum a tensor over the processes, in place, and return it."""


@dataclass(frozen=True)
class SingleProcess:
    """The group of one."""

    rank: int = 0
    size: int = 1

    def all_reduce_(self, tensor: Tensor) -> Tensor:
        """Leave the tensor as it is: it is the sum over one process."""
        return tensor


def resolve_device(name: str) -> torch.device:
    """Find the device ``cpu``, ``cuda``, or ``auto`` (a GPU where there is one).

    Raises
    ------
    UserError
        When the name is unknown, or ``cuda`` is asked for and there is none.
    """
    if name not in {"cpu", "cuda", "auto"}:
        raise UserError(f"device is {name!r}; use 'cpu', 'cuda' or 'auto'.")
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise UserError("device is 'cuda' but torch sees no GPU; use 'auto' or 'cpu'.")
    return torch.device("cuda" if available and name != "cpu" else "cpu")


@contextmanager
def seeded(seed: int, device: torch.device, rank: int = 0) -> Iterator[None]:
    """Seed every global generator inside the block and put them back afterwards.

    torch's are for dropout; numpy's and Python's are there for a loss of a user's own.
    Each rank of a group gets a stream of its own, so that dropout differs among them.
    """
    devices = [torch.cuda.current_device()] if device.type == "cuda" else []
    own = seed + rank * _SEED_STRIDE
    numpy_state = np.random.get_state()  # noqa: NPY002 - the state a user may draw from
    python_state = random.getstate()
    try:
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(own)
            np.random.seed(own % (1 << 32))  # noqa: NPY002
            random.seed(own)
            yield
    finally:
        np.random.set_state(numpy_state)  # noqa: NPY002
        random.setstate(python_state)


def use_huge_pages() -> None:
    """Let torch take memory of the CPU in pages of 2 MB, where Linux offers them.

    A step's larger tensors come from the system and go back to it at once. Page by page
    of 4 kB that took more processor time than the arithmetic of a recurrent network.
    Where pages of 2 MB are always used or never, this changes nothing.

    torch reads the setting with its first tensor, and processes started later inherit
    it: call this early. Any call after the first one does nothing, and a setting of the
    user's own (``THP_MEM_ALLOC_ENABLE=0``) stays.

    Notes
    -----
    The alternative, an allocator that never gives memory back, is as fast. But batches
    differ in size, its free memory falls to pieces, and a process grew to twice its
    size and kept it to its end.
    """
    if sys.platform == "linux":
        os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """Let torch use ``threads`` CPU threads inside the block, and huge pages."""
    use_huge_pages()
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
