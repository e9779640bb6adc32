"""run_jobs: the one seam through which work is spread over processes."""

from __future__ import annotations

import pickle
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from ranking_pipeline.errors import UserError
from ranking_pipeline.jobs.engines import close_executor, open_executor
from ranking_pipeline.jobs.outcome import Ledger, Outcome, attempt

MAX_JOB_BYTES = 2**20


class Job(Protocol):
    """Anything small, picklable and idempotent with an id."""

    @property
    def job_id(self) -> str:
        """Unique among the jobs of one call."""


JobType = TypeVar("JobType", bound=Job)
Progress = Callable[[int, int, str, Outcome], None]


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
    progress: Progress | None = None,
) -> Iterator[tuple[str, Outcome]]:
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
        ``serial``, or see :func:`ranking_pipeline.jobs.engines.open_executor`.
    workers, threads : int
        Processes, and threads of the numeric libraries in each.
    ledger : Path, optional
        Folder of one status file per job.
    max_attempts : int
        A job whose worker dies is tried alone up to this many times, so that it takes
        no innocent job down; then it has failed.
    address : str, optional
        Scheduler of the dask engine.
    progress : callable, optional
        Called with (ended, total, job_id, outcome).

    Raises
    ------
    UserError
        For a repeated id or a job that is too large, before anything runs.
    """
    _check(jobs)
    if engine == "serial":
        ended = _serial(jobs, fn, threads, ledger)
    else:
        ended = _Spread(
            jobs,
            fn,
            engine=engine,
            workers=workers,
            threads=threads,
            ledger=ledger,
            max_attempts=max_attempts,
            address=address,
        )()
    for count, (job, outcome) in enumerate(ended, start=1):
        if ledger is not None:
            Ledger(ledger).write(job.job_id, outcome)
        if progress is not None:
            progress(count, len(jobs), job.job_id, outcome)
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


def _serial(
    jobs: Sequence[JobType],
    fn: Callable[[JobType], Any],
    threads: int,
    ledger: Path | None,
) -> Iterator[tuple[JobType, Outcome]]:
    for job in jobs:
        yield job, attempt(fn, job, 1, threads, ledger)


class _Spread:
    """Jobs over an executor, with bounded submission and a cure for dying workers.

    When a worker dies, a pool breaks and every job in flight is lost. Those jobs become
    suspects and run alone, one after the other: the culprit then names itself, the
    others end, and the pool returns to its full width.
    """

    def __init__(
        self,
        jobs: Sequence[Any],
        fn: Callable[[Any], Any],
        *,
        engine: str,
        workers: int,
        threads: int,
        ledger: Path | None,
        max_attempts: int,
        address: str | None,
    ) -> None:
        self._waiting, self._suspects = deque(jobs), deque[Any]()
        self._in_flight: dict[Future[Outcome], Any] = {}
        self._fn, self._threads, self._ledger = fn, threads, ledger
        self._open = partial(open_executor, engine, workers, threads, address)
        self._width = 2 * workers
        self._alone = False
        self._max_attempts = max_attempts
        self._starts: Counter[str] = Counter()
        self._lone_deaths: Counter[str] = Counter()

    def __call__(self) -> Iterator[tuple[Any, Outcome]]:
        executor, finished = self._open(), False
        try:
            while self._waiting or self._suspects or self._in_flight:
                executor = self._submit(executor)
                yield from self._collect()
            finished = True
        finally:
            # Interrupted, or the caller lost interest: leave no process behind.
            if not finished:
                close_executor(executor)

    def _submit(self, executor: Executor) -> Executor:
        if not self._in_flight:
            self._alone = bool(self._suspects)
        queue = self._suspects if self._alone else self._waiting
        width = 1 if self._alone else self._width
        while queue and len(self._in_flight) < width:
            job = queue.popleft()
            number = self._starts[job.job_id] + 1
            try:
                future = executor.submit(
                    attempt, self._fn, job, number, self._threads, self._ledger
                )
            except BrokenExecutor:
                # It broke between two submissions; what it lost is collected next.
                queue.appendleft(job)
                if self._in_flight:
                    return executor
                executor = self._open()
                continue
            self._starts[job.job_id] = number
            self._in_flight[future] = job
        return executor

    def _collect(self) -> Iterator[tuple[Any, Outcome]]:
        ended, _ = wait(self._in_flight, return_when=FIRST_COMPLETED)
        lost = []
        for future in sorted(ended, key=self._starting_order):
            job = self._in_flight.pop(future)
            outcome = self._outcome(future, job)
            if outcome is None:
                lost.append(job)
            else:
                yield job, outcome
        if lost:
            yield from self._after_a_death(lost)

    def _after_a_death(self, lost: list[Any]) -> Iterator[tuple[Any, Outcome]]:
        rest = list(self._in_flight.items())
        wait(self._in_flight)  # a broken pool fails them all without delay
        self._in_flight.clear()
        for future, job in rest:
            outcome = self._outcome(future, job)
            if outcome is None:
                lost.append(job)
            else:
                yield job, outcome
        if self._alone:
            self._lone_deaths[lost[0].job_id] += 1
            if self._lone_deaths[lost[0].job_id] >= self._max_attempts:
                yield lost[0], self._died(lost[0])
                return
        self._suspects.extendleft(reversed(lost))

    def _outcome(self, future: Future[Outcome], job: Any) -> Outcome | None:
        """Give the job's outcome, or None when its worker died."""
        try:
            return future.result()
        except BrokenExecutor:
            return None
        except Exception as error:
            # The job could not reach the worker, or its result could not come back.
            text = f"{type(error).__name__}: {error}"
            return Outcome("failed", error=text, attempts=self._starts[job.job_id])

    def _died(self, job: Any) -> Outcome:
        tries = self._lone_deaths[job.job_id]
        text = f"worker died (killed, or out of memory?) in {tries} tries alone"
        return Outcome("failed", error=text, attempts=self._starts[job.job_id])

    def _starting_order(self, future: Future[Outcome]) -> int:
        return list(self._in_flight).index(future)
