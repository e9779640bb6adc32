"""A program that spreads jobs and can be interrupted: ``program.py ENGINE FN FOLDER``."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.jobs import tasks

from ranking_pipeline.jobs.interrupts import interruptible
from ranking_pipeline.jobs.spread import spread


def main(engine: str, function: str, folder: str) -> None:
    how = tasks.config(Path(folder), engine=engine)
    jobs = tasks.tasks(12, Path(folder) / "made")
    with interruptible():
        spread(jobs, getattr(tasks, function), how, "Some work")


if __name__ == "__main__":
    main(*sys.argv[1:])
