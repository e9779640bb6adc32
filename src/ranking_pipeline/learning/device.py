"""Where the arithmetic runs: device, threads, random state and the group of processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

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
    """Seed torch's generators inside the block and put them back afterwards.

    Each rank of a group gets a stream of its own, so that dropout differs among them.
    """
    devices = [torch.cuda.current_device()] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed + rank * _SEED_STRIDE)
        yield


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """Let torch use ``threads`` CPU threads inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
