"""Plan schema: what a training plan consists of, and whether one is valid."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from ranking_pipeline.config import Config
from ranking_pipeline.errors import UserError

SCHEMA_VERSION = 2
Route = Literal["CROSS_SECTIONAL", "SYMBOL_SPECIFIC", "BOTH", "EXPERIMENTAL"]
TrainingType = Literal["cross_sectional", "symbol_specific"]
View = Literal["cross_section", "time_series"]
_TIME = "ISO 8601, end of a bar; null in a plan of version 1"


class Estimate(Config):
    """What a job is expected to take; see the module ``family_costs`` for how well."""

    rows: int = Field(ge=0, description="labelled rows fitted, after thinning")
    megabytes: int = Field(ge=0, description="memory of the worker at its highest")
    seconds: float = Field(ge=0, description="all families and seeds, one thread")
    seconds_by_family: dict[str, float] = Field(
        description="the same, by the family that is fitted; none where another job's "
        "network learns the target too"
    )
    # 0 in plans that were made before folds were counted
    fold_models: int = Field(
        0,
        ge=0,
        description="models of folds besides, for weights of ensembles and a cascade",
    )


class Job(Config):
    """One thing to train: a target, for all symbols or for one, over one window."""

    job_id: str = Field(min_length=1)
    target: str = Field(min_length=1)
    symbol: str | None = Field(description="null for a pooled job")
    view: View = Field(
        description="over the names of a bar, or over the bars of a name"
    )
    route: Route
    training_type: TrainingType
    families: tuple[str, ...] = Field(min_length=1)
    features: tuple[str, ...] = Field(min_length=1)
    priority: int = Field(ge=1, le=3, description="3 first")
    n_rows: int = Field(ge=0, description="labelled train rows")
    window: int = Field(ge=0, description="refit, from 1; 0 without a walk-forward")
    train_start: str | None = Field(description=f"first bar learned from; {_TIME}")
    train_end: str | None = Field(
        description=f"bar by which every label learned is known; {_TIME}"
    )
    predict_start: str | None = Field(description=f"first bar predicted; {_TIME}")
    predict_end: str | None = Field(description=f"last bar predicted; {_TIME}")
    estimate: Estimate | None = Field(description="null in a plan of version 1")
    reason: str

    @model_validator(mode="after")
    def _symbol_fits_type(self) -> Self:
        if (self.symbol is None) != (self.training_type == "cross_sectional"):
            raise ValueError(f"job {self.job_id}: a symbol belongs to symbol_specific")
        return self

    @model_validator(mode="after")
    def _trained_before_predicting(self) -> Self:
        times = (self.train_start, self.train_end, self.predict_start, self.predict_end)
        given = [_instant(self.job_id, time) for time in times if time is not None]
        if len(given) not in (0, len(times)) or (self.window and not given):
            raise ValueError(f"job {self.job_id}: give all four times of its window")
        if given and not (given[0] <= given[1] < given[2] <= given[3]):
            raise ValueError(
                f"job {self.job_id}: train_start <= train_end < predict_start <= "
                "predict_end does not hold; a month is predicted by a model trained "
                "before it"
            )
        return self


class OnWorkers(Config):
    """What so many workers, one thread each, are expected to take."""

    workers: int = Field(ge=1)
    minutes: float
    peak_megabytes: int = Field(description="of all workers at once")


class Totals(Config):
    """Sums of the estimates."""

    rows: int = Field(description="rows fitted in all")
    models: int = Field(description="models, not counting seeds")
    fold_models: int = Field(
        0, description="models of folds besides, not counting seeds"
    )
    on_workers: tuple[OnWorkers, ...] = Field(
        description="for several numbers of workers: a plan does not depend on those "
        "that will carry it out"
    )


class Summary(Config):
    """Counts over the jobs, and what they are expected to take."""

    total_jobs: int
    by_type: dict[str, int]
    by_route: dict[str, int]
    by_priority: dict[str, int]
    by_target: dict[str, int]
    by_window: dict[str, int]
    by_view: dict[str, int]
    estimate: Totals


class TrainingPlan(Config):
    """The single source of truth of what is trained."""

    schema_version: Literal[2]
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
    """Check a stored plan against its schema; a plan of version 1 is brought up first.

    Raises
    ------
    UserError
        Naming every fault.
    """
    if not isinstance(document, Mapping):
        kind = type(document).__name__
        raise UserError(
            f"training_plan is not valid: it is a {kind}, not an object. Run routing "
            "again."
        )
    try:
        if document.get("schema_version") == 1:
            document = _from_version_1(document)
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
    """Count jobs by type, route, priority, target, window and view; add estimates up."""
    from ranking_pipeline.routing.estimates import totals

    return Summary(
        total_jobs=len(jobs),
        by_type=_counts(job.training_type for job in jobs),
        by_route=_counts(job.route for job in jobs),
        by_priority=_counts(str(job.priority) for job in jobs),
        by_target=_counts(job.target for job in jobs),
        by_window=_counts(str(job.window) for job in jobs),
        by_view=_counts(job.view for job in jobs),
        estimate=totals(jobs),
    )


def _from_version_1(document: Mapping[str, Any]) -> dict[str, Any]:
    """Add what version 1 lacked: no window, the cross-section, no estimate."""
    times = ("train_start", "train_end", "predict_start", "predict_end", "estimate")
    new = {"view": "cross_section", "window": 0, **dict.fromkeys(times)}
    jobs = [{**new, **job} for job in document.get("jobs", [])]
    counted = document.get("summary", {}).get("total_jobs")
    if counted != len(jobs):
        raise UserError(
            f"training_plan is not valid: its summary counts {counted} jobs, there are "
            f"{len(jobs)}. Run routing again."
        )
    valid = [Job.model_validate_json(json.dumps(job)) for job in jobs]
    summary = summarise(valid).model_dump(mode="json")
    return {**document, "schema_version": 2, "jobs": jobs, "summary": summary}


def _instant(job_id: str, text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"job {job_id}: {text!r} is no ISO 8601 time") from None
    if time.tzinfo is None:
        raise ValueError(f"job {job_id}: {text!r} names no time zone; use UTC")
    return time


def _counts(values: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for value in values:
        counts[value] = counts.get(value, 0) + 1
    return dict(sorted(counts.items()))
