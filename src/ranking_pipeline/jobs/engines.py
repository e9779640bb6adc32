"""Engines: the workers over which jobs are spread, behind one small protocol."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Collection
from concurrent.futures import BrokenExecutor, Executor, Future, wait
from contextlib import suppress
from functools import partial
from importlib import import_module
from typing import Any, Protocol

from ranking_pipeline.errors import UserError
from ranking_pipeline.jobs.worker import GRACE_SECONDS, prepare_worker

# Read by the numeric libraries when a worker imports them.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
_IDLE_SECONDS = 60


class Engine(Protocol):
    """Workers that run functions and say when one of them died.

    Attributes
    ----------
    workers
        How many jobs can run at once.
    """

    workers: int

    def submit(self, fn: Callable[..., Any], *args: Any) -> Future[Any]:
        """Hand over a call; raises BrokenExecutor when :meth:`reopen` is needed."""

    def reopen(self) -> None:
        """Replace workers that broke."""

    def is_death(self, error: BaseException) -> bool:
        """Whether a future's error means that its worker died."""

    def close(self) -> None:
        """Let go of idle workers."""

    def stop(self, run: str, unfinished: Collection[Future[Any]]) -> None:
        """End jobs and workers now, politely for a few seconds, then for sure."""


def open_engine(
    engine: str, workers: int, threads: int, address: str | None = None
) -> Engine:
    """Open an engine.

    Parameters
    ----------
    engine
        ``loky``, ``dask``, or ``package.module:function`` called with (workers,
        threads) and returning an Executor of the standard library's protocol.
    workers, threads
        Processes, and threads of the numeric libraries in each.
    address
        Scheduler of the dask engine: address, scheduler file, or None for our own.

    Raises
    ------
    UserError
        For an unknown engine, or when its package or its scheduler is missing.
    """
    if engine == "loky":
        return PoolEngine(partial(_loky, workers, threads), workers, keep=True)
    if engine == "dask":
        from ranking_pipeline.jobs.dask_engine import DaskEngine

        return DaskEngine(workers, threads, address)
    factory = executor_factory(engine)
    return PoolEngine(partial(factory, workers, threads), workers, keep=False)


def executor_factory(engine: str) -> Callable[[int, int], Executor]:
    """Load ``package.module:function``, which gives an Executor for (workers, threads).

    Raises
    ------
    UserError
        When there is no such thing.
    """
    module, _, function = engine.partition(":")
    try:
        factory: Callable[[int, int], Executor] = getattr(
            import_module(module), function
        )
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(
            f"jobs.engine {engine!r} does not exist ({error}); use serial, loky, dask or "
            "package.module:function."
        ) from None
    return factory


class PoolEngine:
    """An executor of processes on this machine, which breaks when one of them dies.

    Parameters
    ----------
    open_executor
        Gives an executor that works, the same one or a new one.
    workers
    keep
        Whether idle workers stay for the next stage of the run.
    """

    def __init__(
        self, open_executor: Callable[[], Executor], workers: int, *, keep: bool
    ) -> None:
        self.workers = workers
        self._open, self._keep = open_executor, keep
        self._executor = open_executor()

    def submit(self, fn: Callable[..., Any], *args: Any) -> Future[Any]:
        """See :class:`Engine`."""
        return self._executor.submit(fn, *args)

    def reopen(self) -> None:
        """See :class:`Engine`."""
        self._executor = self._open()

    def is_death(self, error: BaseException) -> bool:
        """See :class:`Engine`."""
        return isinstance(error, BrokenExecutor)

    def close(self) -> None:
        """See :class:`Engine`."""
        if not self._keep:
            self._executor.shutdown(wait=True)

    def stop(self, run: str, unfinished: Collection[Future[Any]]) -> None:
        """See :class:`Engine`."""
        # Private in both the standard library and loky, and the only way to the ids.
        processes = list((getattr(self._executor, "_processes", None) or {}).values())
        started = [future for future in unfinished if not future.cancel()]
        _signal(processes, signal.SIGTERM)
        wait(started, timeout=GRACE_SECONDS)
        _signal(processes, signal.SIGKILL)
        options: dict[str, Any] = {"cancel_futures": True}
        if type(self._executor).__module__.startswith("loky"):
            options = {"kill_workers": True}
        self._executor.shutdown(wait=True, **options)


def _signal(processes: list[Any], number: signal.Signals) -> None:
    for process in processes:
        if process.exitcode is None:  # and so its id is still its own
            with suppress(ProcessLookupError):
                os.kill(process.pid, number)


def _loky(workers: int, threads: int) -> Executor:
    from loky import get_reusable_executor

    executor: Executor = get_reusable_executor(
        max_workers=workers,
        timeout=_IDLE_SECONDS,
        initializer=prepare_worker,
        initargs=(os.getpid(),),
        env={name: str(threads) for name in THREAD_VARIABLES},
    )
    return executor
