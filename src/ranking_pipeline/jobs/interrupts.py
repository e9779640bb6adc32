"""Interrupts: SIGINT and SIGTERM end a run with its workers and temporary files."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(SystemExit):
    """A signal asked the run to end; the process exits with 128 + its number."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)


@contextmanager
def interruptible() -> Iterator[None]:
    """Turn the first SIGINT or SIGTERM into an orderly end, and obey the second at once.

    The first raises :class:`Interrupted` in the main thread: fan-outs submit no more
    and end their workers, files half written go, and the process exits with 130
    (SIGINT) or 143 (SIGTERM). The second kills this process's children and exits
    without cleaning up; the next run sweeps what that leaves. Outside the main thread,
    and inside another such block, nothing changes.
    """
    main = threading.current_thread() is threading.main_thread()
    if not main or any(isinstance(signal.getsignal(n), _Handler) for n in SIGNALS):
        yield
        return
    handler = _Handler()
    before: dict[int, Any] = {n: signal.signal(n, handler) for n in SIGNALS}
    try:
        yield
    finally:
        for number, handle in before.items():
            signal.signal(number, handle)


class _Handler:
    def __init__(self) -> None:
        self._seen = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self._seen:
            kill_children()
            os._exit(128 + number)
        self._seen = True
        raise Interrupted(number)


def kill_children() -> None:
    """Kill the worker processes that this process started, by their process ids."""
    for child in multiprocessing.active_children():
        if child.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGKILL)
