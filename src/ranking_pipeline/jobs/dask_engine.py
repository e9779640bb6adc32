"""DaskEngine: jobs over a dask cluster, of our own or anybody's."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from ranking_pipeline.errors import UserError
from ranking_pipeline.jobs.engines import THREAD_VARIABLES
from ranking_pipeline.jobs.worker import (
    GRACE_SECONDS,
    count_jobs,
    prepare_worker,
    stop_jobs,
)

_CONNECT_SECONDS = 30
_SCRATCH_PREFIX = "ranking-pipeline-dask-"


class DaskEngine:
    """Workers of a dask cluster.

    With an address or a scheduler file, the cluster is the user's: it is left as it is.
    Without, it is ours for this fan-out: one process per worker with one thread,
    restarted when it dies, no dashboard, no limit of memory.

    Parameters
    ----------
    workers, threads
        Of our own cluster; ``threads`` are those of the numeric libraries.
    address
        Address (``tcp://host:8786``), path of a scheduler file, or None.
    """

    def __init__(self, workers: int, threads: int, address: str | None) -> None:
        distributed = distributed_package()
        self._cluster: Any = None
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        self._levels = _quieten() if address is None else {}
        if address is None:
            self._scratch = _scratch()
            self._cluster = _own_cluster(workers, threads, self._scratch.name)
            self._client: Any = distributed.Client(self._cluster)
        else:
            self._client = _connect(address)
        self.workers = sum(self._client.nthreads().values()) or workers
        self._executor = self._client.get_executor(pure=False, retries=0)

    def submit(self, fn: Callable[..., Any], *args: Any) -> Future[Any]:
        """See :class:`ranking_pipeline.jobs.engines.Engine`."""
        future: Future[Any] = self._executor.submit(fn, *args)
        return future

    def reopen(self) -> None:
        """Do nothing: the scheduler replaces its workers by itself."""

    def is_death(self, error: BaseException) -> bool:
        """See :class:`ranking_pipeline.jobs.engines.Engine`.

        Raises
        ------
        UserError
            When the scheduler itself is gone: nothing more can run.
        """
        if isinstance(error, CancelledError):
            raise UserError(
                "The dask scheduler is gone or dropped our jobs (jobs.address). What is "
                "done is kept; run again."
            )
        found: bool = isinstance(error, distributed_package().KilledWorker)
        return found

    def close(self) -> None:
        """End the connection, and the cluster when it is ours."""
        with suppress(Exception):
            self._client.close(timeout=GRACE_SECONDS)
        if self._cluster is not None:
            with suppress(Exception):
                self._cluster.close(timeout=GRACE_SECONDS)
        if self._scratch is not None:
            self._scratch.cleanup()
        for name, level in self._levels.items():
            logging.getLogger(name).setLevel(level)

    def stop(self, run: str, unfinished: Collection[Future[Any]]) -> None:
        """See :class:`ranking_pipeline.jobs.engines.Engine`."""
        _within(2 * GRACE_SECONDS, lambda: self._stop_jobs(run))
        self.close()

    def _stop_jobs(self, run: str) -> None:
        self._executor.shutdown(wait=False)
        options: Any = {"on_error": "ignore"}
        self._client.run(stop_jobs, run, **options)
        end = time.monotonic() + GRACE_SECONDS
        while time.monotonic() < end:
            if not any(self._client.run(count_jobs, run, **options).values()):
                return
            time.sleep(0.05)


def dask_setup(worker: Any) -> None:
    """Prepare a worker of our own cluster; dask calls this in its main thread."""
    prepare_worker()


def distributed_package() -> Any:
    """Import dask's package ``distributed``; a UserError where it is not installed."""
    try:
        return import_module("distributed")
    except ModuleNotFoundError:
        raise UserError(
            "jobs.engine 'dask' needs the package 'distributed'; install it (pip install "
            "'ranking_pipeline[dask]') or use loky."
        ) from None


def _own_cluster(workers: int, threads: int, scratch: str) -> Any:
    return distributed_package().LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        processes=True,
        dashboard_address="127.0.0.1:0",
        silence_logs=logging.CRITICAL,
        memory_limit=0,
        local_directory=scratch,
        preload=[__name__],
        env={name: str(threads) for name in THREAD_VARIABLES},
        # A task whose worker dies comes back to us at once: we try suspects alone.
        scheduler_kwargs={
            "allowed_failures": 0,
            "dashboard": False,
            "local_directory": scratch,
        },
    )


def _quieten() -> dict[str, int]:
    """Silence dask's account of deaths that we tell as outcomes; give the old levels."""
    names = ("distributed", "distributed.client", "asyncio")
    levels = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return levels


def _connect(address: str) -> Any:
    file = scheduler_file(address)
    where = {"address": address} if file is None else {"scheduler_file": str(file)}
    try:
        client = distributed_package().Client(timeout=_CONNECT_SECONDS, **where)
    except (OSError, ValueError) as error:
        raise no_scheduler(address, error) from None
    try:
        client.wait_for_workers(1, timeout=_CONNECT_SECONDS)
    except (OSError, TimeoutError):
        client.close()
        raise UserError(
            f"jobs.address {address!r}: the scheduler has no worker. Start some "
            f"(`dask worker {address}`)."
        ) from None
    return client


def scheduler_file(address: str) -> Path | None:
    """Path of the scheduler file that an address names; None where it names none.

    Raises
    ------
    UserError
        When the file is not there.
    """
    if "://" in address or not (address.endswith(".json") or "/" in address):
        return None
    if not Path(address).is_file():
        raise UserError(f"jobs.address: there is no scheduler file {address}.")
    return Path(address)


def no_scheduler(address: str, why: object) -> UserError:
    """Make the error that says that nobody is there."""
    return UserError(
        f"jobs.address {address!r}: no dask scheduler answers ({why}). Start one "
        "(`dask scheduler`), or set it to null for a cluster of our own."
    )


def _scratch() -> tempfile.TemporaryDirectory[str]:
    """Make a folder for the workers, and sweep those of processes that are gone."""
    for old in Path(tempfile.gettempdir()).glob(f"{_SCRATCH_PREFIX}*"):
        pid = old.name.removeprefix(_SCRATCH_PREFIX).partition("-")[0]
        if pid.isdigit() and not _exists(int(pid)):
            shutil.rmtree(old, ignore_errors=True)
    return tempfile.TemporaryDirectory(
        prefix=f"{_SCRATCH_PREFIX}{os.getpid()}-", ignore_cleanup_errors=True
    )


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _within(seconds: float, action: Callable[[], None]) -> None:
    """Give an action that could hang (a worker may not answer) so many seconds."""

    def guarded() -> None:
        with suppress(Exception):
            action()

    thread = threading.Thread(target=guarded, daemon=True)
    thread.start()
    thread.join(seconds)
