"""The worker's side of the fan-out: one attempt at a job, its limits and its end."""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ranking_pipeline.jobs.outcome import Ledger, Outcome, peak_megabytes

GRACE_SECONDS = 5.0
_PARENT_POLL_SECONDS = 0.5
_REFUSAL_SECONDS = 0.1


class Stopped(SystemExit):
    """Raised inside a job that has to end now; its temporary files go with it."""


@dataclass(frozen=True)
class Limits:
    """What an attempt may use.

    Attributes
    ----------
    threads
        Of the numeric libraries.
    timeout_seconds
        After which the attempt's process is ended; None = no limit.
    run
        Token of the run, by which its jobs are stopped and no others.
    """

    threads: int
    timeout_seconds: float | None = None
    run: str = ""


# By thread: the run it works for, and the monotonic time at which it is overdue.
_jobs: dict[int, tuple[str, float]] = {}
_lock = threading.Lock()
_prepared: set[int] = set()
_ending = threading.Event()


def attempt(
    fn: Callable[[Any], Any], job: Any, number: int, limits: Limits, ledger: Path | None
) -> Outcome:
    """Run one job here, in a worker, and tell what became of it.

    An exception of the job's function is an outcome, not an exception. Where a worker
    is told to end, the job that it runs is ``interrupted``, once its temporary files
    are gone; jobs that reach it afterwards are ``refused``, and were never started.
    """
    prepare_worker()
    status = "refused" if _ending.is_set() else "interrupted"
    try:
        if status != "refused":
            with _working(limits):
                return attempt_here(fn, job, number, limits.threads, ledger)
        time.sleep(_REFUSAL_SECONDS)
    except Stopped:
        pass
    return Outcome(status, attempts=number)


def attempt_here(
    fn: Callable[[Any], Any], job: Any, number: int, threads: int, ledger: Path | None
) -> Outcome:
    """Run one job in this very process; interrupts pass through."""
    from ranking_pipeline.jobs.interrupts import Interrupted

    begun = Outcome("running", attempts=number, host=platform.node(), pid=os.getpid())
    if ledger is not None:
        Ledger(ledger).write(job.job_id, begun)
    start = time.perf_counter()
    try:
        with _limited(threads):
            ended = replace(begun, status="done", value=fn(job))
    except (KeyboardInterrupt, Interrupted):
        if ledger is not None:
            Ledger(ledger).write(job.job_id, replace(begun, status="interrupted"))
        raise
    except Stopped:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a job may fail in any way
        text = f"{type(error).__name__}: {error}"
        ended = replace(begun, status="failed", error=text)
    return replace(
        ended, seconds=time.perf_counter() - start, peak_megabytes=peak_megabytes()
    )


def prepare_worker(parent: int | None = None) -> None:
    """Once per process: leave Ctrl-C to the parent, end on SIGTERM or with the parent.

    Signal handlers belong to the main thread: where jobs run in others (dask), the
    engine calls this from the main one. A worker cannot tell by itself that its
    ``parent`` died before this line: the engine names the process, where it can.
    """
    main = threading.current_thread() is threading.main_thread()
    if not main or os.getpid() in _prepared:
        return
    _prepared.add(os.getpid())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    threading.Thread(
        target=_end_with_parent, args=(parent or os.getppid(),), daemon=True
    ).start()


def stop_jobs(run: str) -> int:
    """Raise :class:`Stopped` in the threads that work for a run; count them."""
    with _lock:
        threads = [thread for thread, (owner, _) in _jobs.items() if owner == run]
        for thread in threads:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(thread), ctypes.py_object(Stopped)
            )
    return len(threads)


def count_jobs(run: str) -> int:
    """Count the threads that work for a run in this process."""
    with _lock:
        return sum(owner == run for owner, _ in _jobs.values())


@contextmanager
def _working(limits: Limits) -> Iterator[None]:
    thread, seconds = threading.get_ident(), limits.timeout_seconds
    due = float("inf") if seconds is None else time.monotonic() + seconds
    with _lock:
        _jobs[thread] = (limits.run, due)
        _set_alarm()
    try:
        yield
    finally:
        with _lock:
            _jobs.pop(thread, None)
            _set_alarm()


def _set_alarm() -> None:
    """Let the kernel end this process when its first job is overdue.

    No thread of ours could: a job may hold the interpreter's lock for good.
    """
    due = min((due for _, due in _jobs.values()), default=float("inf"))
    if due < float("inf"):
        signal.setitimer(signal.ITIMER_REAL, max(due - time.monotonic(), 1e-3))
    else:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _stop(number: int, frame: Any) -> None:
    """Stop the job, take no other, and exit later.

    Not at once: a pool that sees one worker exit kills the others, which may still be
    removing their temporary files.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _ending.set()
    threading.Thread(target=_exit_later, args=(128 + number,), daemon=True).start()
    if threading.main_thread().ident in _jobs:
        raise Stopped


def _exit_later(code: int) -> None:
    time.sleep(GRACE_SECONDS)
    os._exit(code)


def _end_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_PARENT_POLL_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
    while not _ending.is_set() or _jobs:
        time.sleep(_PARENT_POLL_SECONDS)
    os._exit(1)


def _limited(threads: int) -> Any:
    """Limit of the numeric libraries' threads while a job runs."""
    from threadpoolctl import threadpool_limits

    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)
    return threadpool_limits(threads)
