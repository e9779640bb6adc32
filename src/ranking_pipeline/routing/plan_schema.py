"""Plan schema: what a training plan consists of, and whether one is valid."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from ranking_pipeline.config import Config
from ranking_pipeline.errors import UserError

SCHEMA_VERSION = 1
Route = Literal["CROSS_SECTIONAL", "SYMBOL_SPECIFIC", "BOTH", "EXPERIMENTAL"]
TrainingType = Literal["cross_sectional", "symbol_specific"]


class Job(Config):
    """One thing to train: a target, for all symbols or for one."""

    job_id: str = Field(min_length=1)
    target: str = Field(min_length=1)
    symbol: str | None = Field(description="null for a pooled job")
    route: Route
    training_type: TrainingType
    families: tuple[str, ...] = Field(min_length=1)
    features: tuple[str, ...] = Field(min_length=1)
    priority: int = Field(ge=1, le=3, description="3 first")
    n_rows: int = Field(ge=0, description="labelled train rows")
    reason: str

    @model_validator(mode="after")
    def _symbol_fits_type(self) -> Self:
        if (self.symbol is None) != (self.training_type == "cross_sectional"):
            raise ValueError(f"job {self.job_id}: a symbol belongs to symbol_specific")
        return self


class Summary(Config):
    """Counts over the jobs."""

    total_jobs: int
    by_type: dict[str, int]
    by_route: dict[str, int]
    by_priority: dict[str, int]
    by_target: dict[str, int]


class TrainingPlan(Config):
    """The single source of truth of what is trained."""

    schema_version: Literal[1]
    status: str
    metadata: dict[str, Any]
    jobs: tuple[Job, ...]
    summary: Summary

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [job.job_id for job in self.jobs]
        if len(set(names)) < len(names):
            repeated = sorted({name for name in names if names.count(name) > 1})
            raise ValueError(f"job ids occur more than once: {', '.join(repeated)}")
        if self.summary != summarise(self.jobs):
            raise ValueError("the summary does not agree with the jobs")
        return self


def read_training_plan(document: Mapping[str, Any]) -> TrainingPlan:
    """Check a stored plan against its schema.

    Raises
    ------
    UserError
        Naming every fault.
    """
    try:
        return TrainingPlan.model_validate_json(json.dumps(document))
    except ValidationError as error:
        faults = [
            f"{'.'.join(map(str, fault['loc'])) or 'plan'}: {fault['msg']}"
            for fault in error.errors()
        ]
        raise UserError(
            "training_plan is not valid: " + "; ".join(faults) + ". Run routing again."
        ) from None


def training_plan_schema() -> dict[str, Any]:
    """JSON schema of a training plan."""
    return TrainingPlan.model_json_schema()


def summarise(jobs: Sequence[Job]) -> Summary:
    """Count jobs by type, route, priority and target."""
    return Summary(
        total_jobs=len(jobs),
        by_type=_counts(job.training_type for job in jobs),
        by_route=_counts(job.route for job in jobs),
        by_priority=_counts(str(job.priority) for job in jobs),
        by_target=_counts(job.target for job in jobs),
    )


def _counts(values: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for value in values:
        counts[value] = counts.get(value, 0) + 1
    return dict(sorted(counts.items()))
