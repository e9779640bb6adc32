"""The GPU benchmark runs from end to end before it ever sees a GPU."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from benchmarks.gpu_rows.stage import TOY, Stage, overhead

from benchmarks import gpu
from ranking_pipeline.errors import UserError

ROOT = Path(__file__).resolve().parents[2]


def test_every_part_runs_at_toy_size() -> None:
    rows = gpu.rehearse()
    for goal in ("P1", "G1", "G2", "G3", "G4", "G5", "G6", "G7", "G8"):
        assert any(row["case"].startswith(goal) for row in rows), goal
    assert all(math.isfinite(row["ours"]) for row in rows)
    # Where a CPU computes the same, it is checked, too.
    figures = {row["case"]: row["ours"] for row in rows}
    assert figures["P1 waits in a pass"] == 0
    assert figures["G7 graph against eager"] <= 1e-6
    assert figures["G7 deterministic: parameters that differ"] == 0
    assert len(gpu.table(rows).splitlines()) == len(rows)


def test_a_part_that_fails_costs_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(stage: Stage) -> list[dict[str, object]]:
        raise ValueError("no such kernel")

    monkeypatch.setattr(gpu, "PARTS", (broken, gpu.kernels.gathers))
    with pytest.raises(RuntimeError, match="failed: broken"):
        gpu.rehearse()
    rows = gpu._all_parts(Stage(torch.device("cpu"), TOY, 1))
    assert [("error" in row) for row in rows] == [True, False, False]
    assert "FAILED: ValueError: no such kernel" in gpu.table(rows)


def test_overhead_is_what_a_pass_takes_beyond_its_network() -> None:
    # 3 s against 2 s for a network that saw half of the windows: 25 % less.
    assert overhead([3.0], [2.0], 2.0) == [-25.0]
    assert overhead([3.0, 4.2], [2.0, 4.0], 1.0) == pytest.approx([50.0, 5.0])


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so() -> None:
    with pytest.raises(UserError, match="needs a GPU"):
        gpu.run(1)
    command = [sys.executable, "-m", "benchmarks.gpu"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    assert ended.returncode != 0
    assert b"needs a GPU" in ended.stderr
    assert b"Traceback" not in ended.stderr
