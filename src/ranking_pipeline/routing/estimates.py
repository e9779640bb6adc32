"""Estimates: rows, memory and time of a job of the plan, before anything is trained."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ranking_pipeline.models import registry
from ranking_pipeline.routing.family_costs import (
    MEGABYTE,
    Work,
    fit_megabytes,
    fit_seconds,
)
from ranking_pipeline.routing.plan_schema import Estimate, Job, OnWorkers, Totals
from ranking_pipeline.training.config import PlannedTraining

# Measured on one core: 114,000 rows of 99 factors are read, joined and ranked within
# their bars in 2.1 s, and of 25 factors in 0.6 s; the worker then holds 560 and 290 MB.
LOAD_SECONDS_PER_CELL = 1.9e-7
WORKER_MEGABYTES, TABLE_COPIES = 230.0, 8
JOB_SECONDS = 0.1  # hashing, predicting and storing
WORKER_SECONDS = 3.0  # a process and its libraries
WORKERS_SHOWN = (1, 2, 4, 8, 16)


@dataclass(frozen=True)
class Market:
    """What estimates need to know of the stored tables.

    Attributes
    ----------
    rows
        Rows of the feature table, which every worker reads.
    classes
        Targets of three classes.
    """

    rows: int
    classes: frozenset[str] = frozenset()


def estimate(
    row: Mapping[str, Any],
    n_rows: int,
    readers: int,
    market: Market,
    config: PlannedTraining,
    folds: Mapping[str, int] | None = None,
) -> Estimate:
    """Estimate one row of the plan: all of its families and seeds.

    Parameters
    ----------
    row : mapping
        ``target``, ``families`` and ``features``.
    n_rows : int
        Labelled rows to fit, before thinning.
    readers : int
        Rows of the plan that use the same table in one worker, one after the other:
        each of them carries its share of the reading.
    market : Market
    config : PlannedTraining
    folds : mapping of family to int, optional
        What is fitted, and on how many folds besides, see
        :func:`ranking_pipeline.routing.planned_fits.planned_fits`; without it the
        families of the row, on no folds.

    Returns
    -------
    Estimate
    """
    n_features = len(row["features"])
    fitted = min(n_rows, config.max_train_rows)
    work = Work(fitted, n_features, row["target"] in market.classes)
    table = float(market.rows) * n_features
    load = LOAD_SECONDS_PER_CELL * table / max(1, readers)
    fits = dict.fromkeys(row["families"], 0) if folds is None else folds
    if not fits:
        return Estimate(rows=0, megabytes=0, seconds=0.0, seconds_by_family={})
    seeds, by_family = len(config.seeds), dict[str, float]()
    for family, n_folds in fits.items():
        block = registry.block_of(config.parameters, family) or {}
        seconds = fit_seconds(family, work, block) + JOB_SECONDS
        if n_folds:
            part = replace(work, rows=round(fitted * (n_folds - 1) / n_folds))
            seconds += n_folds * (fit_seconds(family, part, block) + JOB_SECONDS)
        by_family[family] = round(seeds * seconds + load / len(fits), 2)
    base = WORKER_MEGABYTES + TABLE_COPIES * 4 * table / MEGABYTE
    added = max(fit_megabytes(family, work) for family in fits)
    return Estimate(
        rows=fitted,
        megabytes=round(base + added),
        seconds=round(sum(by_family.values()), 2),
        seconds_by_family=by_family,
        fold_models=sum(fits.values()),
    )


def totals(jobs: Sequence[Job]) -> Totals:
    """Add up the estimates of a plan, for several numbers of workers.

    The time on several workers is that of giving each model, in the order of the plan,
    to the worker that is free first; models of the GPU stage wait for all others.

    Parameters
    ----------
    jobs : sequence of Job
    """
    known = [job.estimate for job in jobs if job.estimate is not None]
    stages = {"cpu": list[float](), "gpu": list[float]()}
    for one in known:
        for family, seconds in one.seconds_by_family.items():
            stages[registry.listing(family).device].append(seconds)
    return Totals(
        rows=sum(e.rows for e in known),
        models=sum(_models(job) for job in jobs),
        fold_models=sum(one.fold_models for one in known),
        on_workers=tuple(_on(n, known, stages.values()) for n in WORKERS_SHOWN),
    )


def _on(
    workers: int, known: Sequence[Estimate], stages: Iterable[Sequence[float]]
) -> OnWorkers:
    seconds = sum(_makespan(stage, workers) for stage in stages)
    seconds += WORKER_SECONDS if known and workers > 1 else 0
    return OnWorkers(
        workers=workers,
        minutes=round(seconds / 60, 2),
        peak_megabytes=sum(heapq.nlargest(workers, (e.megabytes for e in known))),
    )


def _makespan(seconds: Iterable[float], workers: int) -> float:
    free = [0.0] * workers
    for one in seconds:
        heapq.heappush(free, heapq.heappop(free) + one)
    return max(free)


def _models(job: Job) -> int:
    """Models of a job; a strategy may fit another number than its families'."""
    known = job.families if job.estimate is None else job.estimate.seconds_by_family
    return len(known)
