"""Outcome: what became of one job, and the ledger that remembers it."""

from __future__ import annotations

import hashlib
import json
import re
import resource
import sys
import time
from collections.abc import Mapping
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
        ``done`` or ``failed``; in a ledger also ``running`` and ``interrupted``.
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

    It outlives the run: a job without a file never started, one that is still
    ``running`` was killed with its parent. Whether a result exists is a question for the
    store, which checks the hash that the entry names.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, job_id: str) -> Path:
        """File of one job; the name cannot leave the folder, whatever the id."""
        readable = re.sub(r"[^A-Za-z0-9_-]+", "-", job_id)[:60]
        digest = hashlib.sha256(job_id.encode()).hexdigest()[:12]
        return self._folder / f"{readable}.{digest}.json"

    def write(self, job_id: str, outcome: Outcome) -> None:
        """Record the outcome: of its value, only the hash that it names."""
        entry = {"job_id": job_id, **asdict(replace(outcome, value=None))}
        entry.pop("value")
        named = outcome.value if isinstance(outcome.value, Mapping) else {}
        result = {"sha256": named["sha256"]} if "sha256" in named else {}
        write_json(self.path(job_id), {**entry, **result, "written": time.time()})

    def read(self) -> dict[str, dict[str, Any]]:
        """All entries by job id."""
        entries = [json.loads(p.read_text("utf-8")) for p in self._files()]
        return {entry["job_id"]: entry for entry in entries}

    def running_since(self, job_id: str, number: int) -> float | None:
        """When an attempt started (Unix seconds); None unless it is running."""
        try:
            entry = json.loads(self.path(job_id).read_text("utf-8"))
        except (OSError, ValueError):
            return None
        if (entry["status"], entry["attempts"]) != ("running", number):
            return None
        return float(entry["written"])

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob("[!.]*.json"))


def peak_megabytes() -> float:
    """Highest resident memory of this process so far."""
    status = Path("/proc/self/status")
    if status.exists():
        # Linux lets a child inherit its parent's ru_maxrss, but not this one.
        kilobytes = re.search(r"VmHWM:\s+(\d+)", status.read_text("utf-8"))
        if kilobytes:
            return int(kilobytes[1]) / 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak / (2**20 if sys.platform == "darwin" else 2**10))
