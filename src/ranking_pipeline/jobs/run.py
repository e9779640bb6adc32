"""run_jobs: the one seam through which work is spread over processes."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from ranking_pipeline.errors import UserError
from ranking_pipeline.jobs.dispatch import dispatch
from ranking_pipeline.jobs.outcome import Ledger, Outcome
from ranking_pipeline.jobs.worker import attempt_here

MAX_JOB_BYTES = 2**20


class Job(Protocol):
    """Anything small, picklable and idempotent with an id."""

    @property
    def job_id(self) -> str:
        """Unique among the jobs of one call."""


JobType = TypeVar("JobType", bound=Job)


def run_jobs(
    jobs: Sequence[JobType],
    fn: Callable[[JobType], Any],
    *,
    engine: str,
    workers: int = 1,
    threads: int = 1,
    ledger: Path | None = None,
    max_attempts: int = 3,
    address: str | None = None,
    timeout_seconds: float | None = None,
    job_limits: Mapping[str, float] | None = None,
) -> Generator[tuple[str, Outcome], None, None]:
    """Run jobs and yield ``(job_id, outcome)`` as they end.

    A job may be started more than once (its worker died, or a neighbour's did), so its
    function must be idempotent. What it returns does not depend on engine or workers;
    only the order in which outcomes arrive does.

    Parameters
    ----------
    jobs : sequence
        Each has a unique ``job_id`` and pickles to less than one megabyte: data travels
        as a handle (path and hash), never as an array.
    fn : callable
        Importable by a worker; gets one job. Its exception makes a failed outcome and
        is not tried again.
    engine : str
        ``serial``, or see :func:`ranking_pipeline.jobs.engines.open_engine`.
    workers, threads : int
        Processes, and threads of the numeric libraries in each.
    ledger : Path, optional
        Folder of one status file per job.
    max_attempts : int
        A job whose worker dies is tried alone up to this many times, so that it takes
        no innocent job down; then it has failed. So has a job during which its worker
        was told to end (SIGTERM) this often.
    address : str, optional
        Scheduler of the dask engine; see ``jobs.address``.
    timeout_seconds : float, optional
        An attempt that takes longer is ended with its worker, and the job has failed;
        jobs beside it are tried again.
    job_limits : mapping of str to float, optional
        Seconds by job id, which count instead of ``timeout_seconds``.

    Raises
    ------
    UserError
        Before anything runs: for a repeated id, a job that is too large, or a time
        limit with the serial engine, which cannot end itself.
    """
    _check(jobs)
    if engine == "serial":
        check_serial(timeout_seconds, job_limits or {})
        ended = _serial(jobs, fn, threads, ledger)
    else:
        ended = dispatch(
            jobs,
            fn,
            engine=engine,
            workers=workers,
            threads=threads,
            ledger=ledger,
            max_attempts=max_attempts,
            address=address,
            timeout_seconds=timeout_seconds,
            job_limits=job_limits or {},
        )
    for job, outcome in ended:
        if ledger is not None:
            Ledger(ledger).write(job.job_id, outcome)
        yield job.job_id, outcome


def _check(jobs: Sequence[Job]) -> None:
    repeated = [
        name for name, n in Counter(job.job_id for job in jobs).items() if n > 1
    ]
    if repeated:
        raise UserError(f"job id {repeated[0]!r} occurs more than once.")
    for job in jobs:
        size = len(pickle.dumps(job))
        if size > MAX_JOB_BYTES:
            raise UserError(
                f"job {job.job_id!r} has {size:,} bytes, more than {MAX_JOB_BYTES:,}. "
                "Pass data as a handle (path and hash), not as an array or frame."
            )


def check_serial(timeout_seconds: float | None, others: Mapping[str, float]) -> None:
    """Refuse a time limit in this process, which cannot end itself."""
    if timeout_seconds is not None or others:
        told = f"family_timeout_seconds {dict(others)}"
        if timeout_seconds is not None:
            told = f"timeout_seconds {timeout_seconds:g}"
        raise UserError(
            f"jobs.{told} needs workers that can be ended, "
            "and the serial engine is this process itself. Use jobs.engine loky with "
            "jobs.workers 1, or set the limit to null."
        )


def _serial(
    jobs: Sequence[JobType],
    fn: Callable[[JobType], Any],
    threads: int,
    ledger: Path | None,
) -> Iterator[tuple[JobType, Outcome]]:
    for job in jobs:
        yield job, attempt_here(fn, job, 1, threads, ledger)
