"""Interrupts: a run that is told to end, or killed, leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
from tests.jobs.tasks import artefacts, make_artefact, tasks, write_slowly

from ranking_pipeline.jobs.interrupts import Interrupted, interruptible
from ranking_pipeline.jobs.outcome import Ledger
from ranking_pipeline.jobs.run import run_jobs

PROJECT = Path(__file__).resolve().parents[2]


def start(engine: str, function: str, folder: Path) -> subprocess.Popen[bytes]:
    for name in ("made", "tmp"):
        (folder / name).mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-m", "tests.jobs.program", engine, function, str(folder)],
        cwd=PROJECT,
        env={**os.environ, "TMPDIR": str(folder / "tmp")},
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def until(condition: Callable[[], bool], seconds: float = 30) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return condition()


def group(leader: int) -> list[psutil.Process]:
    """Every process that the program started, and itself."""
    members = []
    for process in psutil.process_iter():
        try:
            zombie = process.status() == psutil.STATUS_ZOMBIE
            if os.getsid(process.pid) == leader and not zombie:
                members.append(process)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return members


def started(folder: Path) -> int:
    return len(list((folder / "made").glob("started-*")))


def temporaries(folder: Path) -> list[Path]:
    made = [p for p in (folder / "made").rglob(".*") if p.is_file() or p.is_dir()]
    return made + list((folder / "tmp").iterdir()) + list(folder.rglob(".tmp-*"))


def check_a_clean_end(engine: str, number: int, to_all: bool, folder: Path) -> None:
    program = start(engine, "write_slowly", folder)
    assert until(lambda: started(folder) >= (1 if engine == "serial" else 2))
    assert temporaries(folder)
    send = os.killpg if to_all else os.kill
    send(program.pid, number)
    output, _ = program.communicate(timeout=60)
    assert program.returncode == 128 + number, output.decode()
    assert b"Traceback" not in output
    assert until(lambda: not group(program.pid), 5), group(program.pid)
    assert temporaries(folder) == []
    assert list((folder / "made").glob("*.bin")) == []
    n_workers = 1 if engine == "serial" else 2
    assert started(folder) == n_workers  # nothing was submitted after the signal
    entries = Ledger(folder / "ledger" / "some_work").read().values()
    # A worker that the signal reaches from both sides ends without a last word.
    assert {entry["status"] for entry in entries} <= {"interrupted", "running"}


@pytest.mark.parametrize(
    ("engine", "number", "to_all"),
    [
        ("serial", signal.SIGINT, False),
        ("loky", signal.SIGINT, True),  # Ctrl-C in a terminal reaches every process
        ("loky", signal.SIGTERM, False),
    ],
)
def test_a_signal_ends_all_and_leaves_nothing(
    engine: str, number: int, to_all: bool, tmp_path: Path
) -> None:
    check_a_clean_end(engine, number, to_all, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("engine", "number", "to_all"),
    [
        ("serial", signal.SIGTERM, True),
        ("loky", signal.SIGINT, False),
        ("loky", signal.SIGTERM, True),
        ("dask", signal.SIGINT, True),
        ("dask", signal.SIGTERM, False),
    ],
)
def test_any_signal_ends_any_engine(
    engine: str, number: int, to_all: bool, tmp_path: Path
) -> None:
    check_a_clean_end(engine, number, to_all, tmp_path)


def test_the_second_signal_kills_at_once(tmp_path: Path) -> None:
    program = start("loky", "ignore_the_end", tmp_path)
    assert until(lambda: started(tmp_path) >= 2)
    program.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert program.poll() is None  # it waits for jobs that will not end
    program.send_signal(signal.SIGINT)
    assert program.wait(timeout=3) == 130
    assert until(lambda: not group(program.pid), 5)


def check_a_killed_parent(moments: int, folder: Path) -> None:
    whole = folder / "whole"
    whole.mkdir()
    list(run_jobs(tasks(12, whole), make_artefact, engine="serial"))
    expected = artefacts(whole)
    assert len(expected) == 12
    rng, landed = np.random.default_rng(0), 0
    for k in range(moments):
        killed = folder / str(k)
        killed.mkdir()
        program = start("loky", "make_artefact", killed)
        assert until(lambda at=killed: any((at / "made").iterdir()))  # type: ignore[misc]
        time.sleep(float(rng.uniform(0, 0.12)))
        program.kill()
        program.communicate()
        landed += len(artefacts(killed / "made")) < 12
        assert start("loky", "make_artefact", killed).wait(timeout=60) == 0
        assert artefacts(killed / "made") == expected
        entries = Ledger(killed / "ledger" / "some_work").read().values()
        assert [entry["status"] for entry in entries] == ["done"] * 12
        # Workers notice that their parent is gone.
        assert until(lambda of=program: not group(of.pid), 10)  # type: ignore[misc]
    assert landed >= 1


def test_a_killed_parent_loses_nothing(tmp_path: Path) -> None:
    check_a_killed_parent(3, tmp_path)


@pytest.mark.slow
def test_a_parent_killed_at_twenty_moments_loses_nothing(tmp_path: Path) -> None:
    check_a_killed_parent(20, tmp_path)


def test_losing_interest_ends_jobs_and_their_temporary_files(tmp_path: Path) -> None:
    first = tasks(1, tmp_path)[0]
    slow = [task for task in tasks(3, tmp_path) if task != first]
    ended = run_jobs([first, *slow], slow_but_first, engine="loky", workers=2)
    assert next(ended)[0] == "job:0"
    assert until(lambda: bool(list(tmp_path.glob("started-*"))))
    ended.close()
    assert [p for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def slow_but_first(task: object) -> None:
    if task.number:  # type: ignore[attr-defined]
        write_slowly(task)  # type: ignore[arg-type]


def test_handlers_are_put_back_and_blocks_nest() -> None:
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(Interrupted) as raised:
        end_in_nested_blocks()
    assert raised.value.code == 143
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before


def end_in_nested_blocks() -> None:
    with interruptible(), interruptible():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(1)
