"""run_jobs: every job ends once, on every engine, whatever happens to a worker."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.jobs.tasks import (
    Task,
    always_die_on_three,
    always_end_politely_on_three,
    config,
    die_once,
    end_politely_on_three_among_long_ones,
    fail_on_three,
    hang_on_three,
    hold_the_interpreter_on_three,
    leave_on_three,
    make_artefact,
    slow,
    square,
    tasks,
    threads_of_the_environment,
    threads_of_the_libraries,
)

from ranking_pipeline.errors import UserError
from ranking_pipeline.jobs.config import available_cores
from ranking_pipeline.jobs.outcome import Ledger
from ranking_pipeline.jobs.run import run_jobs


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


@pytest.mark.parametrize("engine", ["loky", "tests.jobs.tasks:own_pool"])
def test_a_worker_that_dies_once_costs_no_job(engine: str, tmp_path: Path) -> None:
    jobs = tasks(20, tmp_path)
    ended = dict(run_jobs(jobs, die_once, engine=engine, workers=2))
    assert {o.status for o in ended.values()} == {"done"}
    assert len(ended) == 20
    assert ended["job:3"].attempts == 2


def test_a_job_that_always_kills_its_worker_is_named(tmp_path: Path) -> None:
    jobs = tasks(20, tmp_path)
    ended = dict(
        run_jobs(jobs, always_die_on_three, engine="loky", workers=2, max_attempts=2)
    )
    culprit = ended.pop("job:3")
    assert culprit.status == "failed"
    assert "worker died" in culprit.error
    assert culprit.attempts == 3  # once in company, twice alone
    assert {o.status for o in ended.values()} == {"done"}
    assert len(ended) == 19
    # Only neighbours in flight were started again, and each at most once.
    starts = [len(list(tmp_path.glob(f"{k}.*"))) for k in range(20) if k != 3]
    assert max(starts) <= 2


@pytest.mark.parametrize(
    ("engine", "fn"),
    [
        ("loky", always_end_politely_on_three),
        pytest.param(
            "loky", end_politely_on_three_among_long_ones, marks=pytest.mark.slow
        ),
        pytest.param(
            "tests.jobs.tasks:own_pool",
            always_end_politely_on_three,
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_job_that_always_has_its_worker_told_to_end_is_named(
    engine: str, fn: Callable[[Task], int], tmp_path: Path
) -> None:
    """Neither what a dying worker refuses nor what its end takes along is blamed."""
    jobs = tasks(20, tmp_path)
    ended = dict(run_jobs(jobs, fn, engine=engine, workers=2, max_attempts=2))
    culprit = ended.pop("job:3")
    assert (culprit.status, culprit.attempts) == ("failed", 2)
    assert culprit.error == "its worker was told to end (SIGTERM) in 2 tries"
    assert len(list(tmp_path.glob("3.*"))) == 2
    assert {o.status for o in ended.values()} == {"done"}
    assert len(ended) == 19


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


def test_no_jobs_is_no_work() -> None:
    assert list(run_jobs([], square, engine="loky", workers=2)) == []


def test_workers_and_threads_share_the_cores(tmp_path: Path) -> None:
    def resolved(engine: str, workers: int | None) -> tuple[int, int]:
        return config(tmp_path, engine=engine, workers=workers).resolved()

    cores = available_cores()
    assert resolved("serial", 8) == (1, cores)
    assert resolved("loky", None) == (cores, 1)
    assert resolved("loky", 1) == (1, cores)
    assert resolved("loky", 64) == (64, max(1, cores // 64))
    for workers in range(1, 2 * cores):
        used, threads = resolved("dask", workers)
        assert used * threads <= max(cores, workers)
    with pytest.raises(ValueError, match="serial, loky, dask or"):
        config(tmp_path, engine="spark")


def test_threads_inside_a_job_are_those_of_the_run() -> None:
    ended = dict(
        run_jobs(
            tasks(3), threads_of_the_libraries, engine="loky", workers=1, threads=2
        )
    )
    assert {o.value for o in ended.values()} == {2}


@pytest.mark.parametrize("engine", ["serial", "loky"])
def test_a_job_that_leaves_has_failed_and_takes_nobody_with_it(engine: str) -> None:
    ended = dict(run_jobs(tasks(5), leave_on_three, engine=engine, workers=2))
    assert ended.pop("job:3").error == "SystemExit: three leaves"
    assert [o.status for o in ended.values()] == ["done"] * 4


def test_results_do_not_depend_on_the_number_of_workers(tmp_path: Path) -> None:
    hashes = []
    for engine, workers in [("serial", 1), ("loky", 1), ("loky", 2), ("loky", 4)]:
        folder = tmp_path / f"{engine}{workers}"
        folder.mkdir()
        jobs = tasks(12, folder)
        ended = dict(run_jobs(jobs, make_artefact, engine=engine, workers=workers))
        hashes.append([ended[job.job_id].value["sha256"] for job in jobs])
    assert len(set(hashes[0])) == 12
    assert hashes[1:] == hashes[:1] * 3


@pytest.mark.parametrize("known", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_an_overdue_job_is_ended_and_the_others_go_on(
    known: bool, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger" if known else None
    (tmp_path / "starts").mkdir()
    ended = dict(
        run_jobs(
            tasks(8, tmp_path / "starts"),
            hang_on_three,
            engine="loky",
            workers=2,
            ledger=ledger,
            timeout_seconds=1.0,
        )
    )
    late = ended.pop("job:3")
    assert (late.status, late.value) == ("failed", None)
    assert late.error == "timeout: ended after 1 s (jobs.timeout_seconds)"
    # The ledger names the overdue job at once; without it, the job runs once more alone.
    assert late.attempts == (1 if known else 2)
    assert {name: o.value for name, o in ended.items()} == {
        f"job:{k}": k * k for k in range(8) if k != 3
    }
    if ledger is not None:
        assert Ledger(ledger).read()["job:3"]["error"] == late.error


def test_a_job_that_holds_the_interpreter_is_ended_too(tmp_path: Path) -> None:
    ended = dict(
        run_jobs(
            tasks(5),
            hold_the_interpreter_on_three,
            engine="loky",
            workers=2,
            ledger=tmp_path,
            timeout_seconds=1.0,
        )
    )
    assert ended.pop("job:3").error.startswith("timeout")
    assert [o.status for o in ended.values()] == ["done"] * 4


def test_a_limit_counts_one_attempt_not_the_wait_before_it() -> None:
    jobs = tasks(14)
    ended = run_jobs(jobs, nap, engine="loky", workers=1, timeout_seconds=0.7)
    assert {o.status for _, o in ended} == {"done"}


def test_the_serial_engine_refuses_a_time_limit() -> None:
    with pytest.raises(UserError, match=r"timeout_seconds 5 .*loky.*null"):
        list(run_jobs(tasks(1), square, engine="serial", timeout_seconds=5))


def test_the_ledger_keeps_the_hash_of_a_result(tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    folder = tmp_path / "ledger"
    jobs = tasks(2, tmp_path / "made")
    ended = dict(run_jobs(jobs, make_artefact, engine="loky", ledger=folder))
    entries = Ledger(folder).read()
    for job in jobs:
        assert entries[job.job_id]["sha256"] == ended[job.job_id].value["sha256"]


def nap(task: Task) -> None:
    time.sleep(0.1)


def test_a_worker_that_is_told_to_end_costs_no_job(tmp_path: Path) -> None:
    ended = dict(
        run_jobs(tasks(8, tmp_path), end_politely_once, engine="loky", workers=2)
    )
    assert {o.status for o in ended.values()} == {"done"}
    assert len(ended) == 8


def end_politely_once(task: Task) -> None:
    mark = Path(task.folder) / "told"
    if task.number == 3 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(30)
