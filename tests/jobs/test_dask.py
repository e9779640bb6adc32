"""The dask engine: the outcomes of every other engine, on any cluster."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.jobs.tasks import (
    ReadTask,
    always_die_on_three,
    hang_on_three,
    make_artefact,
    make_or_read,
    read,
    square,
    tasks,
    threads_of_the_environment,
)

from ranking_pipeline.errors import UserError
from ranking_pipeline.jobs.dask_engine import _scratch
from ranking_pipeline.jobs.outcome import Outcome
from ranking_pipeline.jobs.run import run_jobs
from ranking_pipeline.storage import TableHandle

PROJECT = Path(__file__).resolve().parents[2]
ELSEWHERE = ReadTask("elsewhere", TableHandle("/on/another/machine.parquet", "0" * 64))


def run(jobs: Any, fn: Any, **options: Any) -> dict[str, Outcome]:
    options = {"engine": "dask", "workers": 2, **options}
    return dict(run_jobs(jobs, fn, **options))


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Check that the temporary folder is as empty afterwards as it was before."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


def test_one_killed_worker_costs_no_job_and_no_bit(
    temporary: Path, tmp_path: Path
) -> None:
    serial, spread = tmp_path / "serial", tmp_path / "spread"
    for folder in (serial, spread):
        folder.mkdir()
    reference = run(tasks(20, serial), make_artefact, engine="serial")
    ended = run([*tasks(20, spread), ELSEWHERE], make_or_read)
    far = ended.pop("elsewhere")
    assert far.status == "failed"
    assert far.error == (
        "UserError: /on/another/machine.parquet is not there (or not visible from this "
        "machine)."
    )
    assert len(ended) == 20
    assert ended["job:3"].attempts == 2
    assert {k: o.value for k, o in ended.items()} == {
        k: o.value for k, o in reference.items()
    }


@pytest.mark.slow
def test_a_job_that_always_kills_its_worker_is_named(
    temporary: Path, tmp_path: Path
) -> None:
    ended = run(tasks(20, tmp_path), always_die_on_three, max_attempts=2)
    culprit = ended.pop("job:3")
    assert "worker died" in culprit.error
    assert culprit.attempts == 3  # once in company, twice alone
    assert {k: o.value for k, o in ended.items()} == {
        f"job:{k}": k * k for k in range(20) if k != 3
    }


@pytest.mark.slow
@pytest.mark.parametrize("known", [True, False])
def test_an_overdue_job_is_ended(known: bool, temporary: Path, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger" if known else None
    ended = run(tasks(8, tmp_path), hang_on_three, ledger=ledger, timeout_seconds=2.0)
    late = ended.pop("job:3")
    assert late.error == "timeout: ended after 2 s (jobs.timeout_seconds)"
    assert late.attempts == (1 if known else 2)
    assert [o.status for o in ended.values()] == ["done"] * 7


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 4])
def test_results_do_not_depend_on_the_number_of_workers(
    workers: int, temporary: Path, tmp_path: Path
) -> None:
    hashes = []
    for engine in ("serial", "dask"):
        folder = tmp_path / engine
        folder.mkdir()
        ended = run(tasks(12, folder), make_artefact, engine=engine, workers=workers)
        hashes.append({k: o.value["sha256"] for k, o in ended.items()})
    assert hashes[0] == hashes[1]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Path]:
    """A cluster of somebody else's, as two commands start it; its scheduler file."""
    file = tmp_path / "scheduler.json"
    options = ["--no-dashboard", "--scheduler-file", str(file)]
    commands = [
        ["scheduler", "--host", "127.0.0.1", "--port", "0", *options],
        ["worker", "--nthreads", "1", "--nworkers", "2", *options],
    ]
    begun = []
    for command in commands:
        begun.append(
            subprocess.Popen(
                [sys.executable, "-m", "dask", *command],
                cwd=tmp_path,
                env={**os.environ, "PYTHONPATH": str(PROJECT)},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )
    yield file
    for process in reversed(begun):
        process.terminate()
        process.wait(timeout=30)


@pytest.mark.slow
def test_any_cluster_by_address_or_scheduler_file(cluster: Path) -> None:
    for _ in range(300):
        if cluster.exists():
            break
        time.sleep(0.1)
    address = json.loads(cluster.read_text())["address"]
    for where in (str(cluster), address):
        ended = run(tasks(6), square, address=where)
        assert [ended[f"job:{k}"].value for k in range(6)] == [k * k for k in range(6)]
        far = run([ELSEWHERE], read, address=where)["elsewhere"]
        assert "not visible from this machine" in far.error


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    missing = str(tmp_path / "scheduler.json")
    with pytest.raises(UserError, match=r"no scheduler file .*scheduler\.json"):
        run(tasks(1), square, address=missing)
    with pytest.raises(UserError, match=r"jobs\.address 'nonsense://x'"):
        run(tasks(1), square, address="nonsense://x")


def test_scratch_folders_of_the_dead_are_swept(temporary: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    dead = temporary / f"ranking-pipeline-dask-{gone.pid}-x"
    dead.mkdir()
    alive = _scratch()
    assert [str(p) for p in temporary.iterdir()] == [alive.name]
    alive.cleanup()


@pytest.mark.slow
def test_workers_limit_their_threads(temporary: Path) -> None:
    ended = run(tasks(2), threads_of_the_environment, threads=1)
    assert {o.value for o in ended.values()} == {"1"}
