"""Costs: what the jobs of one stage took, and what a cache saved."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Costs:
    """What one fan-out took.

    Attributes
    ----------
    label
        Of the stage.
    n_jobs
        Jobs asked for, the cached ones included.
    n_cached
        Jobs answered by a cache.
    seconds
        Wall time of the whole fan-out.
    busy_seconds
        Sum over jobs of the wall time of the last attempt.
    saved_seconds
        Busy seconds that the cached jobs once took.
    peak_megabytes
        Highest resident memory of any one process, a worker or the parent.
    engine, workers
        How the jobs were spread.
    """

    label: str
    n_jobs: int
    n_cached: int
    seconds: float
    busy_seconds: float
    saved_seconds: float
    peak_megabytes: float
    engine: str
    workers: int

    def to_dict(self) -> dict[str, Any]:
        """Give the fields as a JSON object."""
        return asdict(self)
