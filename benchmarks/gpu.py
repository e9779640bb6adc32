"""gpu: every goal that needs a GPU, in one run of at most ten minutes.

``python -m benchmarks gpu --json FILE``, or ``python -m benchmarks.gpu`` alone; with
``--rehearse`` the same code runs on a CPU at toy size, without graphs, which measures
nothing and shows that nothing is misspelt.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.gpu_rows import kernels, serving, streaming, training
from benchmarks.gpu_rows.stage import TOY, Sizes, Stage
from benchmarks.harness import Row
from ranking_pipeline.errors import UserError

PARTS: tuple[Callable[[Stage], list[Row]], ...] = (
    training.no_waits,
    training.overheads,
    training.rates,
    training.beside_the_plain_loop,
    kernels.gathers,
    kernels.exact_pairs,
    serving.latencies,
    training.same_losses,
    training.determinism,
    streaming.streamed,
)
# No part is begun after this: what is there is printed.
_SECONDS = 540.0


def run(rounds: int | None = None) -> list[Row]:
    """Measure all rows on the first GPU.

    Parameters
    ----------
    rounds : int, optional
        7 by default.

    Raises
    ------
    UserError
        When there is no GPU.
    """
    if not torch.cuda.is_available():
        raise UserError(
            "the benchmark gpu needs a GPU, and torch sees none; `python -m "
            "benchmarks.gpu --rehearse` tries its code on a CPU."
        )
    # Read by cuBLAS when it starts; deterministic algorithms need it.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    print(torch.cuda.get_device_name(), "torch", torch.__version__)
    stage = Stage(
        torch.device("cuda", torch.cuda.current_device()), Sizes(), rounds or 7
    )
    return _all_parts(stage)


def rehearse() -> list[Row]:
    """Run every part on the CPU at toy size; the figures mean nothing.

    Raises
    ------
    RuntimeError
        When a part fails.
    """
    rows = _all_parts(Stage(torch.device("cpu"), TOY, 2))
    failed = [row["case"] for row in rows if "error" in row]
    if failed:
        raise RuntimeError(f"parts of the rehearsal failed: {', '.join(failed)}")
    return rows


def _all_parts(stage: Stage) -> list[Row]:
    rows, started = list[Row](), time.monotonic()
    for part in PARTS:
        if time.monotonic() - started > _SECONDS:
            rows.append(_lost(part.__name__, "not begun: the ten minutes are over"))
            continue
        try:
            rows += part(stage)
        except Exception as error:
            # One part that fails must not cost the others: a GPU is rarely at hand.
            traceback.print_exc()
            rows.append(_lost(part.__name__, f"{type(error).__name__}: {error}"))
        if stage.on_gpu:
            torch.cuda.empty_cache()
    if not stage.on_gpu:
        print("a rehearsal on a CPU: the figures mean nothing")
        rows = [row | {"met": None} for row in rows]
    print(table(rows))
    print(f"{time.monotonic() - started:.0f} s")
    return rows


def _lost(case: str, why: str) -> Row:
    return {"case": case, "met": False, "error": why}


def table(rows: list[Row]) -> str:
    """Lay the rows out, one line each."""
    lines = []
    for row in rows:
        if "error" in row:
            lines.append(f"{row['case']:44} FAILED: {row['error'][:200]}")
            continue
        ratio = "" if row["ratio"] is None else f"ratio {row['ratio']:.3g}"
        verdict = {True: "met", False: "MISSED", None: ""}[row["met"]]
        spread = f"{row['low']:.3g}..{row['high']:.3g}"
        lines.append(
            f"{row['case']:44} {row['ours']:10.4g} {row['unit']:14} {ratio:14} "
            f"{spread:18} {row['goal']:24} {verdict}"
        )
    return "\n".join(lines)


def main() -> None:
    """Run without the rest of the benchmarks' command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--rehearse", action="store_true")
    arguments = parser.parse_args()
    try:
        rows = rehearse() if arguments.rehearse else run(arguments.rounds)
    except UserError as error:
        sys.exit(str(error))
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2), encoding="utf-8")
    if any("error" in row for row in rows):
        sys.exit(1)


if __name__ == "__main__":
    main()
