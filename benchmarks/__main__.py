"""Command line: ``python -m benchmarks NAME --json FILE [--rounds N]``."""

from __future__ import annotations

import argparse
import json
from importlib import import_module
from inspect import signature
from pathlib import Path

from benchmarks.harness import environment

NAMES = (
    "main_job",
    "simulated_market",
    "ingest",
    "features",
    "windows",
    "losses",
    "rank_metrics",
    "backtest",
    "predict",
    "cs_loop",
    "ranking_quality",
    "families",
    "portfolio",
    "leakage",
    "jobs",
    "cache",
    "routing",
    "gpu",
    "selection_bias",
    "lightgbm_fit",
    "garch",
    "monthly",
)


def main() -> None:
    """Run one benchmark, print its rows, and write them when asked to."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--json", type=Path, help="where the rows go")
    parser.add_argument("--rounds", type=int, default=None, help="rounds or seeds")
    parser.add_argument("--peer-python", type=Path, help="interpreter of the peer")
    parser.add_argument("--peer-scripts", type=Path, help="scripts that drive it")
    arguments = parser.parse_args()
    run = import_module(f"benchmarks.{arguments.name}").run
    options = {
        name: getattr(arguments, name)
        for name in ("peer_python", "peer_scripts")
        if getattr(arguments, name) is not None
    }
    unknown = options.keys() - signature(run).parameters.keys()
    if unknown:
        given = ", ".join("--" + name.replace("_", "-") for name in sorted(unknown))
        parser.error(f"{arguments.name} takes no {given}")
    rows = run(arguments.rounds, **options)
    for row in rows:
        print("  ".join(f"{key}={value}" for key, value in row.items()))
    result = {"name": arguments.name, "environment": environment(), "rows": rows}
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
