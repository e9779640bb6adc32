"""Jobs that behave well or badly, for the tests of this folder."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ranking_pipeline.jobs.config import JobsConfig
from ranking_pipeline.storage import TableHandle, sha256_file, write_json


@dataclass(frozen=True)
class Task:
    """A number to square, and where the job may leave its traces."""

    job_id: str
    number: int = 0
    folder: str = ""
    load: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class ReadTask:
    """A table to read in a worker."""

    job_id: str
    table: TableHandle


def tasks(n: int, folder: Path | str = "") -> list[Task]:
    return [Task(f"job:{k}", k, str(folder)) for k in range(n)]


def config(folder: Path, **changes: Any) -> JobsConfig:
    fields: dict[str, Any] = {
        "engine": "loky",
        "workers": 2,
        "max_attempts": 2,
        "timeout_seconds": None,
        "family_timeout_seconds": {},
        "address": None,
        "store": str(folder / "store"),
        "ledger": str(folder / "ledger"),
        "checkpoints": str(folder / "checkpoints"),
        "checkpoint_seconds": 30,
    }
    return JobsConfig(**{**fields, **changes})


def square(task: Task) -> int:
    return task.number**2


def read(task: ReadTask) -> int:
    return len(task.table.read())


def fail_on_three(task: Task) -> int:
    if task.number == 3:
        raise ValueError("three is too many")
    return task.number


def leave_on_three(task: Task) -> int:
    if task.number == 3:
        raise SystemExit("three leaves")
    return task.number


def note_start(task: Task) -> None:
    folder = Path(task.folder)
    (folder / f"{task.number}.{time.time_ns()}").touch()


def die_once(task: Task) -> int:
    note_start(task)
    if task.number == 3 and len(list(Path(task.folder).glob("3.*"))) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return task.number**2


def always_die_on_three(task: Task) -> int:
    note_start(task)
    if task.number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return task.number**2


def always_end_politely_on_three(task: Task) -> int:
    note_start(task)
    if task.number == 3:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(30)
    time.sleep(0.02)
    return task.number**2


def end_politely_on_three_among_long_ones(task: Task) -> int:
    """The others still run when the ending worker exits and breaks the pool."""
    if task.number == 3:
        return always_end_politely_on_three(task)
    note_start(task)
    time.sleep(1.5)
    return task.number**2


def hang_on_three(task: Task) -> int:
    note_start(task)
    if task.number == 3:
        time.sleep(600)
    time.sleep(0.01)
    return task.number**2


def hold_the_interpreter_on_three(task: Task) -> int:
    """Job 3 never lets another thread of its process run."""
    if task.number == 3:
        import re

        re.match(r"(a+)+$", "a" * 60 + "b")
    return task.number**2


def threads_of_the_environment(task: Task) -> str:
    return os.environ["OMP_NUM_THREADS"]


def threads_of_the_libraries(task: Task) -> int:
    from threadpoolctl import threadpool_info

    np.ones((2, 2)) @ np.ones((2, 2))
    return max(pool["num_threads"] for pool in threadpool_info())


def slow(task: Task) -> int:
    note_start(task)
    time.sleep(0.05)
    return os.getpid()


def own_pool(workers: int, threads: int) -> Executor:
    return ProcessPoolExecutor(workers)


def make_artefact(task: Task) -> dict[str, str]:
    """Fit numbers and store them where the job's content says; a finished one stays."""
    path = Path(task.folder) / f"artefact-{task.number}.json"
    if not path.exists():
        rng = np.random.default_rng(task.number)
        table = rng.standard_normal((300, 8))
        slopes = np.linalg.lstsq(table[:, 1:], table[:, 0], rcond=None)[0]
        time.sleep(0.02)
        write_json(path, slopes.tolist())
    return {"sha256": sha256_file(path)}


def write_slowly(task: Task) -> None:
    """Stand in the middle of a write for long, with temporary files on the disk."""
    from ranking_pipeline.storage import atomic_write

    folder = Path(task.folder)
    with (
        tempfile.TemporaryDirectory(prefix=".scratch-", dir=folder) as scratch,
        atomic_write(folder / f"{task.number}.bin") as temporary,
    ):
        Path(scratch, "part").write_bytes(b"half")
        temporary.write_bytes(b"half")
        (folder / f"started-{task.number}").touch()
        for _ in range(1200):
            time.sleep(0.05)


def artefacts(folder: Path) -> dict[str, str]:
    """Content hash of every finished artefact by name."""
    return {p.name: sha256_file(p) for p in sorted(folder.glob("artefact-*.json"))}


def die_once_and_make(task: Task) -> dict[str, str]:
    """Make an artefact; job 3 kills its worker the first time."""
    mark = Path(task.folder) / "died"
    if task.number == 3 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return make_artefact(task)


def make_or_read(task: Task | ReadTask) -> Any:
    return read(task) if isinstance(task, ReadTask) else die_once_and_make(task)


def ignore_the_end(task: Task) -> None:
    """Refuse every polite request to end."""
    (Path(task.folder) / f"started-{task.number}").touch()
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            time.sleep(0.1)
        except BaseException:
            continue
