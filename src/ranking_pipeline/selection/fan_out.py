"""Fan-out over targets: the same evidence for each, in as many processes as there are."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from ranking_pipeline.cache.codec import Codec
from ranking_pipeline.cache.config import CacheConfig
from ranking_pipeline.cache.origin import code_of
from ranking_pipeline.cache.plain import differences
from ranking_pipeline.cache.results import Found, ResultCache
from ranking_pipeline.config import Config
from ranking_pipeline.errors import UserError
from ranking_pipeline.jobs.config import JobsConfig
from ranking_pipeline.jobs.costs import Costs
from ranking_pipeline.jobs.outcome import Outcome
from ranking_pipeline.jobs.spread import spread
from ranking_pipeline.selection.evidence_origin import (
    evidence_origin,
    for_target,
    function_of,
    result_types,
)
from ranking_pipeline.selection.stored_data import (
    LazyData,
    StoredData,
)
from ranking_pipeline.selection.training_data import TrainingData

__all__ = [
    "Each", "Evidence", "LazyData", "OverWorkers", "StoredData", "in_turn",
    "over_workers",
]  # fmt: skip

Result = TypeVar("Result")
Evidence = Callable[[TrainingData, str, Any], Result]
Each = Callable[[Evidence[Any], Sequence[str], Config], list[Any]]
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TargetJob:
    """The evidence on one target, and where it is kept (None: nowhere)."""

    job_id: str
    evidence: Evidence[Any]
    stored: StoredData
    config: Config
    made_from: Mapping[str, Any]
    cache: CacheConfig | None


@dataclass(frozen=True)
class Answer:
    """What a worker found, and why it could not keep it (empty: it did)."""

    value: Any
    not_kept: str = ""


def in_turn(data: TrainingData | LazyData) -> Each:
    """Collect evidence on one target after the other, in this process."""

    def each(
        evidence: Evidence[Any], targets: Sequence[str], config: Config
    ) -> list[Any]:
        loaded = data.load() if targets and isinstance(data, LazyData) else data
        return [
            for_target(evidence, target, targets)(loaded, target, config)
            for target in targets
        ]

    return each


def over_workers(
    stored: StoredData, how: JobsConfig, label: str, cache: CacheConfig | None = None
) -> OverWorkers:
    """Collect evidence on several targets at once; results are those of :func:`in_turn`.

    Parameters
    ----------
    stored
    how
        Engine and workers.
    label
        Of the progress bar.
    cache
        Where evidence of earlier runs is looked for; None: nowhere.
    """
    return OverWorkers(stored, how, label, cache)


class OverWorkers:
    """Evidence from the cache where it is known, and from workers where it is not.

    The cache is looked into before any table is read. A worker stores what it finds at
    once: a killed run loses only what was in work.

    Attributes
    ----------
    costs : Costs
        Of the last call.
    counts : Counter
        Targets of the last call by what the cache had: ``hit``, ``miss``, ``expired``,
        ``damaged``, ``forced``, ``disabled``; and ``not_kept``.
    """

    costs: Costs

    def __init__(
        self, stored: StoredData, how: JobsConfig, label: str, cache: CacheConfig | None
    ) -> None:
        self._stored, self._how, self._label = stored, how, label
        self._cache = cache if cache is not None and cache.enabled else None
        self.counts: Counter[str] = Counter()

    def __call__(
        self, evidence: Evidence[Any], targets: Sequence[str], config: Config
    ) -> list[Any]:
        """Collect the evidence on ``targets``, in their order.

        Raises
        ------
        UserError
            When the evidence on a target failed; what others gave is stored.
        """
        jobs = [
            TargetJob(
                target, for_target(evidence, target, targets), self._stored, config, {},
                self._cache,
            )
            for target in targets
        ]  # fmt: skip
        started = time.perf_counter()
        if self._cache is None:
            unknown = {job.job_id: Found("disabled") for job in jobs}
            return self._collect(jobs, unknown, started)
        known = ResultCache(self._cache, Codec(result_types(evidence)))
        jobs = [_with_origin(job, known) for job in jobs]
        found = {job.job_id: known.find(job.made_from) for job in jobs}
        self._explain(known, jobs, found)
        try:
            return self._collect(jobs, found, started)
        finally:
            known.sweep()

    def _collect(
        self, jobs: Sequence[TargetJob], found: Mapping[str, Found], started: float
    ) -> list[Any]:
        hits = {name: look for name, look in found.items() if look.status == "hit"}
        missing = [job for job in jobs if job.job_id not in hits]
        done = spread(missing, run_target_job, self._how, self._label, unit="target")
        self.costs = replace(
            done.costs,
            n_jobs=len(jobs),
            n_cached=len(hits),
            seconds=time.perf_counter() - started,
            saved_seconds=sum((hit.seconds for hit in hits.values()), 0.0),
        )
        answers = {name: _answer(name, out) for name, out in done.outcomes.items()}
        self._count(found.values(), answers)
        return [
            hits[job.job_id].value if job.job_id in hits else answers[job.job_id].value
            for job in jobs
        ]

    def _count(self, found: Iterable[Found], answers: Mapping[str, Answer]) -> None:
        self.counts = Counter(look.status for look in found)
        for target, answer in answers.items():
            if answer.not_kept:
                self.counts["not_kept"] += 1
                _logger.warning("%s is not cached: %s", target, answer.not_kept)

    def _explain(
        self, known: ResultCache, jobs: Sequence[TargetJob], found: Mapping[str, Found]
    ) -> None:
        """Say how many are known, and for one that is not, what has changed."""
        missed = [job for job in jobs if found[job.job_id].status == "miss"]
        counts = Counter(look.status for look in found.values())
        text = ", ".join(f"{n} {status}" for status, n in sorted(counts.items()))
        if missed:
            made_from = missed[0].made_from
            nearest = known.nearest(made_from, ("evidence", "target"))
            changes = list(differences(nearest, made_from)) if nearest else []
            text += f"; {missed[0].job_id}: " if changes else ""
            text += "; ".join(changes[:3])
        _logger.info("%s, cache: %s", self._label, text or "nothing asked")


def run_target_job(job: TargetJob) -> Answer:
    """Collect the evidence on one target and keep it; this runs in a worker."""
    data = job.stored.load()
    started = time.perf_counter()
    value = job.evidence(data, job.job_id, job.config)
    seconds = time.perf_counter() - started
    if job.cache is None:
        return Answer(value)
    return Answer(value, _keep(job, job.cache, value, seconds))


def _keep(job: TargetJob, cache: CacheConfig, value: Any, seconds: float) -> str:
    if not getattr(value, "cacheable", True):
        return "it holds a failure, which another run may not meet"
    if code_of(function_of(job.evidence).__module__) != job.made_from["code"]:
        return "the worker's code or libraries are not those of the run"
    codec = Codec(result_types(job.evidence))
    return ResultCache(cache, codec).keep(job.made_from, value, seconds)


def _with_origin(job: TargetJob, known: ResultCache) -> TargetJob:
    made_from = evidence_origin(job.evidence, job.job_id, job.config, job.stored, known)
    return replace(job, made_from=made_from)


def _answer(target: str, outcome: Outcome) -> Answer:
    if outcome.status != "done":
        raise UserError(f"{target}: {outcome.error.removeprefix('UserError: ')}")
    answer: Answer = outcome.value
    return answer
