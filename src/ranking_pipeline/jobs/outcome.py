"""Outcome: what became of one job, and the ledger that remembers it."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ranking_pipeline.storage import write_json


@dataclass(frozen=True)
class Outcome:
    """What became of one job.

    Attributes
    ----------
    status
        ``done`` or ``failed``; in a ledger also ``running``.
    value
        What the job's function returned; None unless done.
    error
        Kind and text of the error; empty when done.
    attempts
        How often the job was started.
    seconds
        Wall time of the last attempt.
    peak_megabytes
        Highest resident memory of the worker so far, earlier jobs included.
    host, pid
        Where the last attempt ran.
    """

    status: str
    value: Any = None
    error: str = ""
    attempts: int = 1
    seconds: float = 0.0
    peak_megabytes: float = 0.0
    host: str = ""
    pid: int = 0


class Ledger:
    """One small file per job: who ran it, where, and how it ended.

    It is a record for people and for the report. Nothing is decided from it: whether a
    result exists is a question for the store, which checks the result's hash.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, job_id: str) -> Path:
        """File of one job; the name cannot leave the folder, whatever the id."""
        readable = re.sub(r"[^A-Za-z0-9_-]+", "-", job_id)[:60]
        digest = hashlib.sha256(job_id.encode()).hexdigest()[:12]
        return self._folder / f"{readable}.{digest}.json"

    def write(self, job_id: str, outcome: Outcome) -> None:
        """Record the outcome, without its value."""
        entry = {"job_id": job_id, **asdict(replace(outcome, value=None))}
        entry.pop("value")
        write_json(self.path(job_id), entry)

    def read(self) -> dict[str, dict[str, Any]]:
        """All entries by job id."""
        entries = [json.loads(p.read_text("utf-8")) for p in self._files()]
        return {entry["job_id"]: entry for entry in entries}

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob("[!.]*.json"))


def attempt(
    fn: Callable[[Any], Any], job: Any, number: int, threads: int, ledger: Path | None
) -> Outcome:
    """Run one job here, in the worker, and tell what became of it.

    An exception of the job's function is an outcome, not an exception.
    """
    begun = Outcome("running", attempts=number, host=platform.node(), pid=os.getpid())
    if ledger is not None:
        Ledger(ledger).write(job.job_id, begun)
    start = time.perf_counter()
    try:
        with _limited(threads):
            ended = replace(begun, status="done", value=fn(job))
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        ended = replace(begun, status="failed", error=text)
    return replace(
        ended, seconds=time.perf_counter() - start, peak_megabytes=_peak_megabytes()
    )


def _limited(threads: int) -> Any:
    """Limit of the numeric libraries' threads while a job runs."""
    from threadpoolctl import threadpool_limits

    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)
    return threadpool_limits(threads)


def _peak_megabytes() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak / (2**20 if sys.platform == "darwin" else 2**10))
