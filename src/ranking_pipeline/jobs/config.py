"""Typed parameters of the fan-out."""

from __future__ import annotations

import os
from typing import Annotated

from pydantic import Field

from ranking_pipeline.config import Config, text_format


class JobsConfig(Config):
    """How jobs are spread over workers."""

    engine: Annotated[
        str,
        text_format(
            r"serial|loky|dask|[\w.]+:\w+",
            "serial, loky, dask or package.module:function",
        ),
    ] = Field(
        description="serial (this process), loky (processes on this machine), dask "
        "(the cluster at `address`), or package.module:function returning an Executor "
        "for (workers, threads)",
    )
    workers: int | None = Field(gt=0, description="processes; null means one per core")
    max_attempts: int = Field(
        gt=0,
        description="how often a job may kill its worker, alone, or have it told to end "
        "(SIGTERM) before it fails",
    )
    timeout_seconds: float | None = Field(
        gt=0,
        description="seconds after which one attempt of a job is ended and the job has "
        "failed; null = no limit",
    )
    family_timeout_seconds: dict[str, Annotated[float, Field(gt=0)]] = Field(
        description="the same for the models of single families, instead of "
        "timeout_seconds, as {lstm: 10800}; {} = none"
    )
    address: str | None = Field(
        description="the dask engine's scheduler: an address (tcp://host:8786) or the "
        "path of a scheduler file; null = a cluster of `workers` processes of our own"
    )
    store: str = Field(
        description="folder of the model store; every worker must see it under this path"
    )
    ledger: str = Field(
        description="folder of the job ledger, one small file per job; every worker "
        "must see it under this path"
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
