"""Upload: host arrays brought to the device beside the work that is going on there."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ranking_pipeline.learning.windows import ResidentPanel


@dataclass(frozen=True)
class Arrival:
    """A span on its way.

    Attributes
    ----------
    panel : ResidentPanel
    event : torch.cuda.Event or None
        Recorded behind the last of the work on it; None where nothing is to wait for.
    """

    panel: ResidentPanel
    event: torch.cuda.Event | None

    def receive(self) -> ResidentPanel:
        """Let the stream in use wait for the span; the host does not wait.

        Its memory belongs to the other stream, which is told that this one reads it.
        """
        if self.event is not None:
            stream = torch.cuda.current_stream(self.panel.device)
            stream.wait_event(self.event)
            for tensor in self._tensors():
                tensor.record_stream(stream)
        return self.panel

    def _tensors(self) -> list[Tensor]:
        tables = self.panel.tables
        found = [] if tables is None else [tables.shift, tables.divisor]
        return [self.panel.values, *(table for table in found if table is not None)]


class Uploader:
    """Brings one array after another to a device.

    On a CPU the array is used as it is. On CUDA it leaves from one pinned buffer, on a
    stream of its own, and the buffer is filled again once it has left.

    Parameters
    ----------
    device : torch.device
    most_values : int
        Numbers of the largest array.
    """

    def __init__(self, device: torch.device, most_values: int) -> None:
        self.device = device
        self.pinned: Tensor | None = None
        if device.type == "cuda":
            self._stage(torch.empty(most_values, pin_memory=True))

    def _stage(self, pinned: Tensor) -> None:
        self.pinned = pinned
        self.stream = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        self.copied = torch.cuda.Event()  # type: ignore[no-untyped-call]

    def room(self, shape: tuple[int, ...]) -> Tensor:
        """Give a host tensor to fill."""
        if self.pinned is None:
            return torch.empty(shape)
        self.copied.synchronize()
        return self.pinned[: math.prod(shape)].view(shape)

    def send(
        self, staged: Tensor, finish: Callable[[Tensor], ResidentPanel]
    ) -> Arrival:
        """Upload what was filled, and let ``finish`` work on it over there."""
        if self.pinned is None:
            return Arrival(finish(staged.to(self.device)), None)
        with torch.cuda.stream(self.stream):
            values = staged.to(self.device, non_blocking=True, copy=True)
            self.copied.record(self.stream)
            panel = finish(values)
            event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            event.record(self.stream)
        return Arrival(panel, event)
