"""Checkpoints: a killed training ends with the bits of one that was not."""

from __future__ import annotations

import json
import logging
import math
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from training_world import checkpointed_training

from ranking_pipeline.learning import checkpoints
from ranking_pipeline.learning.checkpoints import (
    CheckpointFile,
    Keeper,
    RandomState,
    decode,
    encode,
)
from ranking_pipeline.learning.device import SingleProcess
from ranking_pipeline.learning.loop import TrainingResult

N_STEPS = 6 * 8


class Stopped(Exception):
    """Ends a training from outside."""


def same(one: TrainingResult, other: TrainingResult) -> bool:
    return (
        one.history == other.history
        and one.best_epoch == other.best_epoch
        and one.best_metric == other.best_metric
        and one.state.keys() == other.state.keys()
        and all(torch.equal(one.state[key], other.state[key]) for key in one.state)
    )


@pytest.fixture(autouse=True)
def own_random_state() -> Iterator[None]:
    states = np.random.get_state(), random.getstate()  # noqa: NPY002
    yield
    np.random.set_state(states[0])  # noqa: NPY002
    random.setstate(states[1])


@pytest.fixture
def file(tmp_path: Path) -> CheckpointFile:
    return CheckpointFile(tmp_path / "runs" / "checkpoint.npz", "key", 0.0)


@pytest.mark.parametrize("schedule", ["constant", "cosine", "plateau"])
@pytest.mark.parametrize("every", [1, 3, 7])
def test_a_training_stopped_at_every_kth_step_ends_with_the_same_bits(
    schedule: str, every: int, file: CheckpointFile
) -> None:
    whole = checkpointed_training(schedule, None)
    rates = {row["learning_rate"] for row in whole.history}
    assert (len(rates) > 1) == (schedule != "constant")
    steps = 0

    def stop(windows: int) -> None:
        nonlocal steps
        steps += 1
        if steps % every == 0:
            raise Stopped

    starts = 0
    while True:
        starts += 1
        assert starts <= N_STEPS + 1
        try:
            resumed = checkpointed_training(schedule, file, stop)
        except Stopped:
            continue
        break
    assert same(resumed, whole)
    # No step was taken twice.
    assert steps == 8 * len(whole.history)
    assert starts == steps // every + 1


def test_writing_checkpoints_changes_nothing(file: CheckpointFile) -> None:
    assert same(
        checkpointed_training("cosine", file), checkpointed_training("cosine", None)
    )


def killed(folder: Path, kills: int, schedule: str) -> dict[str, Any]:
    script = Path(__file__).with_name("killed_trainings.py")
    done = subprocess.run(
        [sys.executable, str(script), str(folder), str(kills), schedule],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def check_killed(outcome: dict[str, Any], kills: int) -> None:
    whole, resumed = outcome["whole"], outcome["killed"]
    assert resumed["weights"] == whole["weights"]
    assert resumed["history"] == whole["history"]
    # Each kill may hide one step: kept, but not yet noted. None is taken twice.
    assert whole["steps"] - kills <= resumed["steps"] <= whole["steps"]


def test_a_killed_training_ends_with_the_same_bits(tmp_path: Path) -> None:
    check_killed(killed(tmp_path, 3, "plateau"), 3)


@pytest.mark.slow
@pytest.mark.parametrize("schedule", ["cosine", "plateau"])
def test_twenty_kills_leave_no_trace(tmp_path: Path, schedule: str) -> None:
    outcome = killed(tmp_path, 20, schedule)
    check_killed(outcome, 20)
    assert outcome["hits"] >= 5


def half_trained(file: CheckpointFile, n_steps: int = 11) -> None:
    seen = 0

    def stop(windows: int) -> None:
        nonlocal seen
        seen += 1
        if seen == n_steps:
            raise Stopped

    with pytest.raises(Stopped):
        checkpointed_training("cosine", file, stop)


def steps_taken(file: CheckpointFile) -> tuple[TrainingResult, int]:
    seen: list[int] = []
    return checkpointed_training("cosine", file, seen.append), len(seen)


def test_a_finished_training_returns_at_once(file: CheckpointFile) -> None:
    first, n_steps = steps_taken(file)
    again, no_steps = steps_taken(file)
    assert (n_steps, no_steps) == (8 * len(first.history), 0)
    assert same(again, first)


def test_another_key_is_not_used_and_its_file_is_replaced(
    file: CheckpointFile, caplog: pytest.LogCaptureFixture
) -> None:
    half_trained(file)
    other = replace(file, key="other")
    with caplog.at_level(logging.INFO):
        result, n_steps = steps_taken(other)
    assert "belongs to other work" in caplog.text
    assert n_steps == 8 * len(result.history)
    assert file.load() is None
    assert other.load() is not None


def truncated(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flipped(content: bytes) -> bytes:
    place = len(content) // 3
    return content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :]


@pytest.mark.parametrize(
    "damage", [truncated, flipped, lambda content: b"", lambda content: b"no archive"]
)
def test_a_damaged_file_is_named_and_training_starts_anew(
    damage: Any, file: CheckpointFile, caplog: pytest.LogCaptureFixture
) -> None:
    half_trained(file)
    file.path.write_bytes(damage(file.path.read_bytes()))
    result, n_steps = steps_taken(file)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert str(file.path) in caplog.text
    assert n_steps == 8 * len(result.history)
    assert same(result, checkpointed_training("cosine", None))


def test_a_file_that_cannot_be_opened_is_named(
    file: CheckpointFile, caplog: pytest.LogCaptureFixture
) -> None:
    file.path.mkdir(parents=True)
    result, n_steps = steps_taken(file)
    assert n_steps == 8 * len(result.history)
    assert "cannot be read" in caplog.text
    assert "could not be written" in caplog.text
    assert str(file.path) in caplog.text


@settings(max_examples=60, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_is_noticed_or_harmless(place: float, bit: int) -> None:
    state = {"weights": torch.arange(40.0), "rows": [{"metric": 0.25}]}
    content = bytearray(encode(state))
    content[int(place * len(content))] ^= 1 << bit
    try:
        found = decode(bytes(content))
    except Exception:
        return
    assert torch.equal(found["weights"], state["weights"])
    assert found["rows"] == state["rows"]


def test_every_kind_of_value_comes_back() -> None:
    state = {
        "tensors": [
            torch.tensor(2.5),
            torch.arange(6).view(2, 3),
            torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
            torch.tensor([True, False]),
            torch.empty(0, 4, dtype=torch.float64),
            torch.arange(12.0).view(3, 4).t(),
        ],
        "array": np.arange(5, dtype=np.uint32),
        0: (1, "two", None, 3.5, False),
        "limits": [math.inf, -math.inf, 0.1 + 0.2, 5e-324],
        "nested": {"empty": {}, "list": []},
    }
    found = decode(encode(state))
    assert list(found) == list(state)
    for one, other in zip(found["tensors"], state["tensors"], strict=True):
        assert one.dtype == other.dtype
        assert one.shape == other.shape
        assert torch.equal(one, other)
    np.testing.assert_array_equal(found["array"], state["array"])
    for key in (0, "limits", "nested"):
        assert found[key] == state[key]
    assert math.isnan(decode(encode(math.nan)))


def test_what_a_checkpoint_cannot_hold_is_refused() -> None:
    with pytest.raises(TypeError, match="cannot hold a set"):
        encode({"names": {1, 2}})


def test_all_random_generators_are_put_back() -> None:
    state = RandomState(torch.device("cpu"))

    def draw() -> tuple[float, float, float, float]:
        normal = np.random.standard_normal()  # noqa: NPY002
        return torch.rand(1).item(), normal, random.random(), random.gauss(0, 1)

    draw()
    saved = decode(encode(state.state_dict()))
    first = draw()
    assert draw() != first
    state.load_state_dict(saved)
    assert draw() == first


class Part:
    """A part with one value."""

    def __init__(self, value: float) -> None:
        self.value = value

    def state_dict(self) -> dict[str, float]:
        return {"value": self.value}

    def load_state_dict(self, state: dict[str, float]) -> None:
        self.value = state["value"]


def keeper(file: CheckpointFile | None, part: Part) -> Keeper:
    return Keeper(file, SingleProcess(), {}, {"part": part}, torch.device("cpu"))


def test_a_checkpoint_waits_for_its_time(
    file: CheckpointFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(checkpoints.time, "monotonic", lambda: now)
    part = Part(1.0)
    kept = keeper(replace(file, every_seconds=10.0), part)
    written = []
    for second, value in ((5, 2.0), (9.9, 3.0), (10, 4.0), (15, 5.0), (20.5, 6.0)):
        now, part.value = 100.0 + second, value
        kept.after_step()
        found = Part(0.0)
        keeper(file, found).resume()
        written.append(found.value)
    assert written == [0.0, 0.0, 4.0, 4.0, 6.0]


def test_without_a_file_nothing_is_kept() -> None:
    part = Part(1.0)
    kept = keeper(None, part)
    kept.resume()
    kept.after_step()
    kept.write()
    assert part.value == 1.0


class Pair:
    """Two processes that take turns: what the other one sent is known beforehand."""

    size = 2

    def __init__(self, rank: int, others: list[Tensor]) -> None:
        self.rank, self.others = rank, others
        self.sent: list[Tensor] = []

    def all_reduce_(self, tensor: Tensor) -> Tensor:
        self.sent.append(tensor.clone())
        if self.others:
            other = self.others.pop(0)
            if other.shape != tensor.shape:  # the wider of the two texts
                other = torch.nn.functional.pad(
                    other, (0, tensor.shape[1] - other.shape[1])
                )
            tensor += other
        return tensor


def test_each_process_gets_its_own_state_back(file: CheckpointFile) -> None:
    device, parts = torch.device("cpu"), [Part(1.0), Part(2.0)]
    second = Pair(1, [])
    Keeper(file, second, {}, {"part": parts[1]}, device).write()
    assert not file.path.exists()  # rank 0 alone writes
    lengths, text = second.sent
    first = Pair(0, [lengths, text])
    Keeper(file, first, {}, {"part": parts[0]}, device).write()
    for rank, value in ((0, 1.0), (1, 2.0)):
        found = Part(0.0)
        Keeper(file, Pair(rank, []), {}, {"part": found}, device).resume()
        assert found.value == value
    alone = Part(0.0)
    keeper(file, alone).resume()
    assert alone.value == 0.0  # another number of processes is other work
