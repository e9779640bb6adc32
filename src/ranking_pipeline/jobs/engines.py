"""Engines: the executors over which jobs are spread."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from importlib import import_module
from typing import Any

from ranking_pipeline.errors import UserError

# Read by the numeric libraries when a worker imports them.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def open_executor(
    engine: str, workers: int, threads: int, address: str | None = None
) -> Executor:
    """Open an executor of the standard library's protocol; replace a broken one.

    Parameters
    ----------
    engine
        ``loky``, ``dask``, or ``package.module:function`` called with (workers,
        threads).
    workers, threads
        Processes, and threads of the numeric libraries in each.
    address
        Scheduler of the dask engine.

    Raises
    ------
    UserError
        For an unknown engine, or when its package is missing.
    """
    if engine == "loky":
        return _loky(workers, threads)
    if engine == "dask":
        return _dask(address)
    module, _, function = engine.partition(":")
    if not function:
        raise UserError(
            f"jobs.engine {engine!r} does not exist; use serial, loky, dask or "
            "package.module:function."
        )
    factory: Callable[[int, int], Executor] = getattr(import_module(module), function)
    return factory(workers, threads)


def close_executor(executor: Executor) -> None:
    """Stop at once: cancel what waits and end the workers."""
    options: dict[str, Any] = {"wait": True, "cancel_futures": True}
    if type(executor).__module__.startswith("loky"):
        options = {"wait": True, "kill_workers": True}
    executor.shutdown(**options)


def _loky(workers: int, threads: int) -> Executor:
    from loky import get_reusable_executor

    executor: Executor = get_reusable_executor(
        max_workers=workers,
        timeout=60,
        env={name: str(threads) for name in THREAD_VARIABLES},
    )
    return executor


def _dask(address: str | None) -> Executor:
    try:
        from distributed import Client
    except ModuleNotFoundError:
        raise UserError(
            "jobs.engine 'dask' needs the package 'distributed'; install it or use "
            "loky."
        ) from None
    executor: Executor = Client(address).get_executor(retries=0)
    return executor
