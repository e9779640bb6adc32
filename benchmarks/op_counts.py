"""Operations that a step sends to the device, and those that make the host wait."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

# Each of them reads a value, or a size that depends on values, back from the device.
WAITING = ("_local_scalar_dense", "nonzero", "masked_select", "equal", "unique")


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Count the dispatched operations by name; views launch nothing."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.launched: Counter[str] = Counter()
        self.waits = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        name = func.overloadpacket.__name__
        if not func.is_view:
            self.launched[name] += 1
        self.waits += name.startswith(WAITING) or _boolean_index(name, args)
        return func(*args, **(kwargs or {}))


def count_operations(task: Callable[[], object]) -> tuple[Counter[str], int]:
    """Run a task once.

    Returns
    -------
    launched : Counter
        Dispatched ATen operations by name, without views: a proxy for launches.
    waits : int
        Operations for which a host would wait on a GPU.
    """
    with _Counter() as counter:
        task()
    return counter.launched, counter.waits


def _boolean_index(name: str, args: Any) -> bool:
    """Whether an index operation has a mask in it: its result's size is a value."""
    if name not in {"index", "index_put", "index_put_"}:
        return False
    places = [place for place in args[1] if place is not None]
    return any(place.dtype in {torch.bool, torch.uint8} for place in places)
