"""Typed parameters of the fan-out."""

from __future__ import annotations

import os

from pydantic import Field

from ranking_pipeline.config import Config


class JobsConfig(Config):
    """How jobs are spread over workers."""

    engine: str = Field(
        pattern=r"^(serial|loky|dask|[\w.]+:\w+)$",
        description="serial (this process), loky (processes on this machine), dask "
        "(a cluster at `address`), or package.module:function returning an Executor "
        "for (workers, threads)",
    )
    workers: int | None = Field(gt=0, description="processes; null means one per core")
    max_attempts: int = Field(
        gt=0, description="how often a job may kill its worker, alone, before it fails"
    )
    address: str | None = Field(description="scheduler of the dask engine, or null")
    store: str = Field(
        description="folder of the model store, which also holds the job ledger; every "
        "worker must see it under this path"
    )

    checkpoints: str = Field(
        description="folder in which the ranking network keeps its unfinished training"
    )
    checkpoint_seconds: float = Field(
        ge=0,
        description="seconds of training that a killed run may lose; 0 = none, with a "
        "checkpoint after every step",
    )

    def resolved(self) -> tuple[int, int]:
        """Count workers, and threads for each: cores / workers, at least one."""
        cores = available_cores()
        workers = 1 if self.engine == "serial" else self.workers or cores
        return workers, max(1, cores // workers)


def available_cores() -> int:
    """Count the cores that this process may use, often fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
