"""Two processes: the losses of one, errors that arrive, and nobody left behind."""

from __future__ import annotations

import importlib
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from torch import distributed

from ranking_pipeline.errors import UserError
from ranking_pipeline.learning.device import SingleProcess
from ranking_pipeline.learning.distributed import (
    Outcome,
    ProcessGroup,
    train_distributed,
)
from ranking_pipeline.learning.work_folder import WorkFolder

HERE = Path(__file__).parent
LOSSES = ["pairwise", "listwise", "pointwise", "ic"]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(HERE))
    return importlib.import_module("distributed_world")


def run(world: ModuleType, function: str, **options: Any) -> Outcome:
    name = f"{world.__name__}:{function}"
    return train_distributed(name, world.make_arrays(), options, processes=2)


def test_two_processes_take_the_steps_of_one(
    world: ModuleType, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    arrays, reports = world.make_arrays(), list[dict[str, Any]]()
    handlers = [signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGINT)]
    with caplog.at_level(logging.INFO, "ranking_pipeline"):
        outcome = train_distributed(
            "distributed_world:steps",
            arrays | {"empty": np.zeros((2, 0))},
            {"losses": LOSSES},
            processes=2,
            on_report=reports.append,
            folder=tmp_path,
        )
    for loss in LOSSES:
        wanted = world.step_losses(arrays, {"loss": loss}, SingleProcess())
        got = np.array(outcome.values["sums"][loss])
        np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-12)
        counted = got[:, 1]
        if loss != "pointwise":  # some days say nothing to the others
            assert len(set(counted)) > 2
    assert reports == [{"rank": 0}]
    assert [record.message for record in caplog.records] == ["rank 0"]
    assert outcome.values["threads"] == 1
    assert outcome.values["empty"] == [2, 0]
    assert outcome.arrays["empty"].shape == (0, 3)
    assert np.nanmax(np.abs(arrays["values"])) > 1  # what a worker writes stays there
    assert not list(tmp_path.iterdir())
    assert handlers == [signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGINT)]


def test_two_processes_train_the_network_of_one(world: ModuleType) -> None:
    # 46 bars in steps of 5: an epoch ends with one bar, which leaves nothing for rank 1.
    outcome = run(world, "fit")
    weights, values = world.fit_with(world.make_arrays(), {}, SingleProcess())
    for got, wanted in zip(outcome.values["history"], values["history"], strict=True):
        assert got == pytest.approx(wanted, rel=1e-6)
    assert weights.keys() == outcome.arrays.keys()
    for name, wanted in weights.items():
        np.testing.assert_allclose(outcome.arrays[name], wanted, rtol=0, atol=1e-5)


@pytest.fixture
def group_of_one() -> Iterator[ProcessGroup]:
    store = distributed.HashStore()
    distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield ProcessGroup(0, 1)
    distributed.destroy_process_group()


def test_a_group_of_one_is_one_process_to_the_bit(
    world: ModuleType, group_of_one: ProcessGroup
) -> None:
    for dropout in (0.0, 0.5):
        options = {"dropout": dropout}
        wanted = world.fit_with(world.make_arrays(), options, SingleProcess())
        got = world.fit_with(world.make_arrays(), options, group_of_one)
        assert got[1] == wanted[1]
        for name, value in wanted[0].items():
            np.testing.assert_array_equal(got[0][name], value)


def test_a_users_error_arrives_as_it_is(world: ModuleType) -> None:
    with pytest.raises(UserError, match=r"^loss.margin is -1; use 0 or more.$"):
        run(world, "fail", kind="user")


@pytest.mark.slow
def test_any_other_error_arrives_with_its_traceback(world: ModuleType) -> None:
    with pytest.raises(RuntimeError, match="ValueError: a bug of ours"):
        run(world, "fail", kind="bug")


@pytest.mark.slow
def test_a_killed_worker_is_named(world: ModuleType) -> None:
    with pytest.raises(UserError, match="training process 1 was killed"):
        run(world, "fail", kind="kill")


def test_more_processes_than_gpus_are_refused() -> None:
    for processes, device, key in (
        (0, "cpu", "training.processes is 0"),
        (9, "cuda", "training.processes is 9 but torch sees"),
        (2, "tpu", "device is 'tpu'"),
    ):
        with pytest.raises(UserError, match=key):
            train_distributed("a:b", {}, {}, processes=processes, device=device)


def test_an_error_of_the_listener_is_raised_and_the_first_error_wins(
    tmp_path: Path,
) -> None:
    folder = WorkFolder(tmp_path)

    def listen(content: dict[str, Any]) -> None:
        raise KeyError(content["rank"])

    with pytest.raises(KeyError, match="3"), folder.delivering(listen):
        folder.send("report", content={"rank": 3})
    folder.write_error(0, RuntimeError("lost the connection"))
    time.sleep(0.01)
    folder.write_error(1, ValueError("why"))
    time.sleep(0.01)
    assert folder.errors()[0]["message"] == "lost the connection"
    folder.write_error(2, UserError("yours"))
    assert [error["message"] for error in folder.errors()] == [
        "yours",
        "lost the connection",
        "why",
    ]


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


def wait_for(condition: Any, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def start_script(options: dict[str, Any], scratch: Path) -> subprocess.Popen[bytes]:
    code = (
        "import json, sys; sys.path.insert(0, sys.argv[1])\n"
        "import distributed_world as world\n"
        "from ranking_pipeline.learning.distributed import train_distributed\n"
        "train_distributed('distributed_world:fit', world.make_arrays(),\n"
        "                  json.loads(sys.argv[2]), processes=2)\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, str(HERE), json.dumps(options)],
        env=os.environ | {"TMPDIR": str(scratch)},
        stderr=subprocess.DEVNULL,
    )


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["launcher", "worker"])
def test_a_killed_training_leaves_nobody_and_goes_on(
    world: ModuleType, tmp_path: Path, victim: str
) -> None:
    processes = tmp_path / "processes"
    processes.mkdir()
    checkpoint = tmp_path / "kept.npz"
    options: dict[str, Any] = {"dropout": 0.5}
    interrupted = options | {
        "checkpoint": str(checkpoint),
        "processes": str(processes),
        "pause": 0.1,
    }
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    script = start_script(interrupted, scratch)
    wait_for(checkpoint.exists)
    first = checkpoint.stat().st_ino
    wait_for(lambda: checkpoint.stat().st_ino != first)
    time.sleep(0.5)  # some more steps
    workers = [int(path.read_text()) for path in sorted(processes.iterdir())]
    assert len(workers) == 2
    assert all(map(alive, workers))
    os.kill(script.pid if victim == "launcher" else workers[1], signal.SIGKILL)
    code = script.wait(30)
    assert code != 0
    wait_for(lambda: not any(map(alive, workers)), 15)
    wait_for(lambda: not list(scratch.glob("training-*")), 15)
    assert checkpoint.exists()

    resumed = run(world, "fit", **options, checkpoint=str(checkpoint))
    whole = run(world, "fit", **options)
    assert resumed.values == whole.values
    for name, wanted in whole.arrays.items():
        np.testing.assert_array_equal(resumed.arrays[name], wanted)
