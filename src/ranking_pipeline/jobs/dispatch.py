"""dispatch: jobs over an engine, bounded, with a cure for dying workers."""

from __future__ import annotations

import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from ranking_pipeline.jobs.engines import Engine, open_engine
from ranking_pipeline.jobs.outcome import Ledger, Outcome
from ranking_pipeline.jobs.worker import Limits, attempt

Ended = Iterator[tuple[Any, Outcome]]


def dispatch(
    jobs: Sequence[Any],
    fn: Callable[[Any], Any],
    *,
    engine: str,
    workers: int,
    threads: int,
    ledger: Path | None,
    max_attempts: int,
    address: str | None,
    timeout_seconds: float | None,
    job_limits: Mapping[str, float],
) -> Ended:
    """Yield ``(job, outcome)`` as jobs end; see :func:`..run.run_jobs`."""
    if not jobs:
        return
    limits = Limits(threads, timeout_seconds, uuid.uuid4().hex)
    opened = open_engine(engine, workers, threads, address)
    yield from _Dispatch(jobs, fn, opened, limits, job_limits, ledger, max_attempts)()


class _Dispatch:
    """The state of one fan-out.

    When a worker dies, a pool breaks and every job in flight is lost. The job whose time
    was up has failed, and the others start again. Where none was overdue, the lost jobs
    are suspects and run alone, one after the other: the culprit then names itself, the
    others end, and the workers return to their full number.

    A worker that is told to end (SIGTERM) stops its job, refuses others for the seconds
    until it exits, and then breaks the pool like any other that dies. The stopped job
    alone is counted, and has failed after ``max_attempts`` such stops. What the worker
    refused was never started, and the death that follows was announced: jobs lost by it
    start again and are no suspects. As each announced death needs a stop, and stops are
    counted, this ends.
    """

    def __init__(
        self,
        jobs: Sequence[Any],
        fn: Callable[[Any], Any],
        engine: Engine,
        limits: Limits,
        job_limits: Mapping[str, float],
        ledger: Path | None,
        max_attempts: int,
    ) -> None:
        self._waiting, self._suspects = deque(jobs), deque[Any]()
        self._in_flight: dict[Future[Outcome], Any] = {}
        self._fn, self._engine, self._limits = fn, engine, limits
        self._job_limits = job_limits
        self._ledger, self._max_attempts = ledger, max_attempts
        self._width = 2 * engine.workers
        self._alone = False
        self._starts: Counter[str] = Counter()
        self._submitted: dict[str, float] = {}
        self._lone_deaths: Counter[str] = Counter()
        self._stops: Counter[str] = Counter()
        self._death_announced = False

    def __call__(self) -> Ended:
        finished = False
        try:
            while self._waiting or self._suspects or self._in_flight:
                self._submit()
                yield from self._collect()
            finished = True
        finally:
            # Interrupted, or the caller lost interest: leave no process behind.
            if finished:
                self._engine.close()
            else:
                self._stop()

    def _stop(self) -> None:
        unfinished = {f: job for f, job in self._in_flight.items() if not f.done()}
        try:
            self._engine.stop(self._limits.run, unfinished)
        finally:
            for job in unfinished.values() if self._ledger is not None else []:
                self._note_interrupted(job.job_id)

    def _note_interrupted(self, job_id: str) -> None:
        assert self._ledger is not None
        ledger, number = Ledger(self._ledger), self._starts[job_id]
        if ledger.running_since(job_id, number) is not None:
            with suppress(OSError):
                ledger.write(job_id, Outcome("interrupted", attempts=number))

    def _submit(self) -> None:
        if not self._in_flight:
            self._alone = bool(self._suspects)
        queue = self._suspects if self._alone else self._waiting
        width = 1 if self._alone else self._width
        while queue and len(self._in_flight) < width:
            job = queue.popleft()
            number = self._starts[job.job_id] + 1
            try:
                limits = replace(self._limits, timeout_seconds=self._limit(job))
                future = self._engine.submit(
                    attempt, self._fn, job, number, limits, self._ledger
                )
            except BrokenExecutor:
                # It broke between two submissions; what it lost is collected next.
                queue.appendleft(job)
                if self._in_flight:
                    return
                self._engine.reopen()
                self._death_announced = False
                continue
            self._starts[job.job_id] = number
            self._submitted[job.job_id] = time.time()
            self._in_flight[future] = job

    def _collect(self) -> Ended:
        ended, _ = wait(self._in_flight, return_when=FIRST_COMPLETED)
        lost = []
        for future in sorted(ended, key=self._starting_order):
            job = self._in_flight.pop(future)
            outcome = self._outcome(future, job)
            if outcome is None:
                lost.append(job)
            else:
                yield from self._after_an_end(job, outcome)
        if lost:
            yield from self._after_a_death(lost)

    def _after_an_end(self, job: Any, outcome: Outcome) -> Ended:
        """Hand on what became of a job, or put it back if its worker is ending."""
        if outcome.status not in ("interrupted", "refused"):
            yield job, outcome
            return
        self._death_announced = True
        if outcome.status == "refused":
            self._starts[job.job_id] -= 1
        else:
            self._stops[job.job_id] += 1
        if self._stops[job.job_id] >= self._max_attempts:
            yield job, self._stopped(job)
        else:
            self._waiting.append(job)

    def _after_a_death(self, lost: list[Any]) -> Ended:
        overdue = [job for job in lost if self._is_overdue(job)]
        rest = list(self._in_flight.items())
        wait(self._in_flight)  # a broken pool fails them all without delay
        self._in_flight.clear()
        for future, job in rest:
            outcome = self._outcome(future, job)
            if outcome is not None:
                yield from self._after_an_end(job, outcome)
                continue
            lost.append(job)
            overdue += [job] if self._is_overdue(job) else []
        innocent = [job for job in lost if job not in overdue]
        for job in overdue:
            yield job, self._timed_out(job)
        announced, self._death_announced = self._death_announced, False
        if overdue or announced:
            self._waiting.extendleft(reversed(innocent))
        elif self._alone:
            yield from self._after_a_lone_death(lost[0])
        else:
            self._suspects.extend(lost)

    def _after_a_lone_death(self, job: Any) -> Ended:
        self._lone_deaths[job.job_id] += 1
        if self._lone_deaths[job.job_id] >= self._max_attempts:
            yield job, self._died(job)
        else:
            self._suspects.appendleft(job)

    def _limit(self, job: Any) -> float | None:
        """Seconds that an attempt of a job may take; None = no limit."""
        return self._job_limits.get(job.job_id, self._limits.timeout_seconds)

    def _is_overdue(self, job: Any) -> bool:
        """Whether a lost job's time was up: the ledger knows, or it ran alone."""
        limit, number = self._limit(job), self._starts[job.job_id]
        if limit is None:
            return False
        submitted = self._submitted[job.job_id]
        if self._alone:
            return time.time() - submitted >= limit
        if self._ledger is None:
            return False
        since = Ledger(self._ledger).running_since(job.job_id, number)
        return since is not None and submitted <= since <= time.time() - limit

    def _outcome(self, future: Future[Outcome], job: Any) -> Outcome | None:
        """Give the job's outcome, or None when its worker died."""
        try:
            return future.result()
        except Exception as error:  # noqa: BLE001 - of any engine, and any result
            if self._engine.is_death(error):
                return None
            # The job could not reach the worker, or its result could not come back.
            text = f"{type(error).__name__}: {error}"
            return Outcome("failed", error=text, attempts=self._starts[job.job_id])

    def _timed_out(self, job: Any) -> Outcome:
        of = "family_" if job.job_id in self._job_limits else ""
        limit = self._limit(job)
        text = f"timeout: ended after {limit:g} s (jobs.{of}timeout_seconds)"
        return Outcome(
            "failed",
            error=text,
            attempts=self._starts[job.job_id],
            seconds=time.time() - self._submitted[job.job_id],
        )

    def _stopped(self, job: Any) -> Outcome:
        tries = self._stops[job.job_id]
        text = f"its worker was told to end (SIGTERM) in {tries} tries"
        return Outcome("failed", error=text, attempts=self._starts[job.job_id])

    def _died(self, job: Any) -> Outcome:
        tries = self._lone_deaths[job.job_id]
        text = f"worker died (killed, or out of memory?) in {tries} tries alone"
        return Outcome("failed", error=text, attempts=self._starts[job.job_id])

    def _starting_order(self, future: Future[Outcome]) -> int:
        return list(self._in_flight).index(future)
