"""run_jobs: every job ends once, on every engine, whatever happens to a worker."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from ranking_pipeline.errors import UserError
from ranking_pipeline.jobs.config import JobsConfig, available_cores
from ranking_pipeline.jobs.outcome import Ledger, Outcome
from ranking_pipeline.jobs.run import run_jobs


@dataclass(frozen=True)
class Task:
    """A number to square, and how the job should behave."""

    job_id: str
    number: int = 0
    folder: str = ""
    load: bytes = field(default=b"", repr=False)


def square(task: Task) -> int:
    return task.number**2


def fail_on_three(task: Task) -> int:
    if task.number == 3:
        raise ValueError("three is too many")
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


def threads_of_the_environment(task: Task) -> str:
    return os.environ["OMP_NUM_THREADS"]


def slow(task: Task) -> int:
    note_start(task)
    time.sleep(0.05)
    return os.getpid()


def own_pool(workers: int, threads: int) -> Executor:
    return ProcessPoolExecutor(workers)


def tasks(n: int, folder: Path | str = "") -> list[Task]:
    return [Task(f"job:{k}", k, str(folder)) for k in range(n)]


@pytest.mark.parametrize(
    ("engine", "workers"), [("serial", 1), ("loky", 1), ("loky", 2)]
)
def test_every_engine_gives_the_same_outcomes(engine: str, workers: int) -> None:
    ended = dict(run_jobs(tasks(9), square, engine=engine, workers=workers))
    assert {name: o.value for name, o in ended.items()} == {
        f"job:{k}": k * k for k in range(9)
    }
    assert all(o.status == "done" and o.attempts == 1 for o in ended.values())
    assert all(o.seconds >= 0 and o.peak_megabytes > 1 for o in ended.values())


@pytest.mark.parametrize("engine", ["serial", "loky"])
def test_a_python_error_is_an_outcome_and_not_tried_again(engine: str) -> None:
    ended = dict(run_jobs(tasks(5), fail_on_three, engine=engine, workers=2))
    bad = ended.pop("job:3")
    assert (bad.status, bad.value, bad.attempts) == ("failed", None, 1)
    assert bad.error == "ValueError: three is too many"
    assert all(o.status == "done" for o in ended.values())


@pytest.mark.parametrize("engine", ["loky", f"{__name__}:own_pool"])
def test_a_worker_that_dies_once_costs_no_job(engine: str, tmp_path: Path) -> None:
    jobs = tasks(12, tmp_path)
    ended = dict(run_jobs(jobs, die_once, engine=engine, workers=2))
    assert {o.status for o in ended.values()} == {"done"}
    assert len(ended) == 12
    assert ended["job:3"].attempts == 2


def test_a_job_that_always_kills_its_worker_is_named(tmp_path: Path) -> None:
    jobs = tasks(12, tmp_path)
    ended = dict(
        run_jobs(jobs, always_die_on_three, engine="loky", workers=2, max_attempts=2)
    )
    culprit = ended.pop("job:3")
    assert culprit.status == "failed"
    assert "worker died" in culprit.error
    assert culprit.attempts == 3  # once in company, twice alone
    assert {o.status for o in ended.values()} == {"done"}
    assert len(ended) == 11
    # Only neighbours in flight were started again, and each at most once.
    starts = [len(list(tmp_path.glob(f"{k}.*"))) for k in range(12) if k != 3]
    assert max(starts) <= 2


def test_submission_is_bounded(tmp_path: Path) -> None:
    jobs = tasks(20, tmp_path)
    ended = run_jobs(jobs, slow, engine="loky", workers=2)
    next(ended)
    assert len(list(tmp_path.iterdir())) <= 4
    ended.close()  # losing interest ends the workers
    time.sleep(0.3)
    started = len(list(tmp_path.iterdir()))
    time.sleep(0.3)
    assert len(list(tmp_path.iterdir())) == started <= 5


def test_workers_limit_their_threads() -> None:
    ended = dict(
        run_jobs(tasks(2), threads_of_the_environment, engine="loky", workers=2)
    )
    assert {o.value for o in ended.values()} == {"1"}


def test_the_ledger_tells_every_end(tmp_path: Path) -> None:
    folder = tmp_path / "ledger"
    jobs = [*tasks(4), Task("../../evil: id", 5)]
    list(run_jobs(jobs, fail_on_three, engine="serial", ledger=folder))
    entries = Ledger(folder).read()
    assert set(entries) == {job.job_id for job in jobs}
    assert entries["job:3"]["status"] == "failed"
    assert "three is too many" in entries["job:3"]["error"]
    assert entries["job:0"]["status"] == "done"
    assert entries["job:0"]["pid"] == os.getpid()
    assert "value" not in entries["job:0"]
    assert [p.parent for p in tmp_path.rglob("*.json")] == [folder] * 5


def test_the_ledger_names_what_was_running(tmp_path: Path) -> None:
    def look(task: Task) -> str:
        return str(Ledger(tmp_path).read()[task.job_id]["status"])

    ((_, outcome),) = run_jobs(tasks(1), look, engine="serial", ledger=tmp_path)
    assert outcome.value == "running"
    assert Ledger(tmp_path).read()["job:0"]["status"] == "done"


def test_progress_counts_up_to_the_total() -> None:
    seen: list[tuple[int, int, str]] = []

    def progress(count: int, total: int, name: str, outcome: Outcome) -> None:
        seen.append((count, total, outcome.status))

    list(run_jobs(tasks(3), square, engine="serial", progress=progress))
    assert seen == [(1, 3, "done"), (2, 3, "done"), (3, 3, "done")]


def test_data_as_an_argument_is_refused_before_anything_runs(tmp_path: Path) -> None:
    big = Task("big", 1, str(tmp_path), np.zeros(2**18).tobytes())
    with pytest.raises(UserError, match=r"job 'big' has .* bytes.*handle"):
        list(run_jobs([*tasks(2, tmp_path), big], slow, engine="serial"))
    assert list(tmp_path.iterdir()) == []


def test_a_repeated_id_is_refused() -> None:
    with pytest.raises(UserError, match="'job:0' occurs more than once"):
        list(run_jobs([*tasks(2), Task("job:0")], square, engine="serial"))


def test_an_unknown_engine_lists_the_others() -> None:
    with pytest.raises(UserError, match="serial, loky, dask"):
        list(run_jobs(tasks(1), square, engine="spark"))
    with pytest.raises(UserError, match="distributed"):
        list(run_jobs(tasks(1), square, engine="dask"))


def test_no_jobs_is_no_work() -> None:
    assert list(run_jobs([], square, engine="loky", workers=2)) == []


def test_workers_and_threads_share_the_cores() -> None:
    def config(engine: str, workers: int | None) -> JobsConfig:
        return JobsConfig(
            engine=engine,
            workers=workers,
            max_attempts=3,
            address=None,
            store="store",
            checkpoints="checkpoints",
            checkpoint_seconds=30,
        )

    cores = available_cores()
    assert config("serial", 8).resolved() == (1, cores)
    assert config("loky", None).resolved() == (cores, 1)
    assert config("loky", 1).resolved() == (1, cores)
    assert config("loky", 64).resolved() == (64, max(1, cores // 64))
    with pytest.raises(ValueError, match="pattern"):
        config("spark", 1)
