"""Where the arithmetic runs: device, threads and random state."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ranking_pipeline.errors import UserError


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
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's generators inside the block and put them back afterwards."""
    devices = [torch.cuda.current_device()] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
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
