"""Train in child processes that are killed at random moments; print what came out.

Usage: python killed_trainings.py FOLDER KILLS SCHEDULE
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch
from training_world import checkpointed_training

from ranking_pipeline.learning.checkpoints import CheckpointFile
from ranking_pipeline.learning.loop import TrainingResult


def digest(result: TrainingResult) -> dict[str, object]:
    """Weights and history of a training, to the bit."""
    weights = hashlib.sha256()
    for name, value in result.state.items():
        weights.update(name.encode() + value.numpy().tobytes())
    history = [{k: v.hex() for k, v in row.items()} for row in result.history]
    return {"weights": weights.hexdigest(), "history": history}


def start(folder: Path, schedule: str) -> int:
    """Fork a child that trains to its end; its steps are noted one byte each."""
    child = os.fork()
    if child:
        return child
    with (folder / "steps").open("ab", buffering=0) as steps:
        file = CheckpointFile(folder / "checkpoint.npz", "key", 0.0)
        result = checkpointed_training(
            schedule, file, lambda windows: steps.write(b".")
        )
    (folder / "result.json").write_text(json.dumps(digest(result)))
    os._exit(0)


def run(folder: Path, schedule: str, kills: int, seconds: float) -> int:
    """Kill the training up to ``kills`` times and then let it end; kills that hit."""
    folder.mkdir()
    hits = 0
    for _ in range(kills):
        child = start(folder, schedule)
        time.sleep(random.uniform(0, 2 * seconds / kills))
        os.kill(child, signal.SIGKILL)
        hits += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0
    assert os.waitpid(start(folder, schedule), 0)[1] == 0
    return hits


def main() -> None:
    folder, kills, schedule = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    torch.set_num_threads(1)
    began = time.monotonic()
    run(folder / "whole", schedule, 0, 0)
    hits = run(folder / "killed", schedule, kills, time.monotonic() - began)
    outcome: dict[str, object] = {"hits": hits}
    for name in ("whole", "killed"):
        steps = len((folder / name / "steps").read_bytes())
        result = json.loads((folder / name / "result.json").read_text())
        outcome[name] = result | {"steps": steps}
    sys.stdout.write(json.dumps(outcome))


if __name__ == "__main__":
    main()
