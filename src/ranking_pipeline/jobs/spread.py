"""spread: the jobs of one stage over workers, with its progress bar and its costs."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ranking_pipeline.jobs.config import JobsConfig
from ranking_pipeline.jobs.costs import Costs
from ranking_pipeline.jobs.outcome import Outcome, peak_megabytes
from ranking_pipeline.jobs.run import JobType, run_jobs
from ranking_pipeline.progress import bar_options

__all__ = ["Costs", "Spread", "spread"]


@dataclass(frozen=True)
class Spread:
    """What became of the jobs of one stage.

    Attributes
    ----------
    outcomes
        By job id, in the order of the jobs.
    costs
        Time and memory of the stage.
    """

    outcomes: dict[str, Outcome]
    costs: Costs


def spread(
    jobs: Sequence[JobType],
    fn: Callable[[JobType], Any],
    how: JobsConfig,
    label: str,
    *,
    unit: str = "job",
    ledger: Path | None = None,
    serial: bool = False,
    job_limits: Mapping[str, float] | None = None,
) -> Spread:
    """Run the jobs of one stage and show a bar with done, failed and time left.

    Parameters
    ----------
    jobs, fn
        See :func:`ranking_pipeline.jobs.run.run_jobs`.
    how
        Engine, workers, time limit and ledger.
    label, unit
        Of the progress bar.
    ledger
        Folder of one status file per job; ``<how.ledger>/<label>`` when None.
    serial
        One job at a time, in this process, whatever the engine: for jobs that share a
        device. With a time limit they run in one worker process instead, because only
        a process of its own can be ended.
    job_limits
        Seconds by job id, see :func:`ranking_pipeline.jobs.run.run_jobs`.
    """
    from tqdm import tqdm

    limited = how.timeout_seconds is not None or bool(job_limits)
    alone = "loky" if limited else "serial"
    engine = alone if serial else how.engine
    workers, threads = how.model_copy(
        update={"engine": engine, **({"workers": 1} if serial else {})}
    ).resolved()
    start, outcomes, n_failed = time.perf_counter(), dict[str, Outcome](), 0
    ended = run_jobs(
        jobs,
        fn,
        engine=engine,
        workers=workers,
        threads=threads,
        ledger=ledger or Path(how.ledger) / _slug(label),
        max_attempts=how.max_attempts,
        address=how.address,
        timeout_seconds=how.timeout_seconds,
        job_limits=job_limits,
    )
    # Closed at once when the run is interrupted here: that is what ends the workers.
    with (
        closing(ended),
        tqdm(**bar_options(len(jobs)), desc=label, unit=unit, disable=not jobs) as bar,
    ):
        for job_id, outcome in ended:
            outcomes[job_id] = outcome
            n_failed += outcome.status != "done"
            bar.set_postfix(failed=n_failed, refresh=False)
            bar.update()
    seconds = time.perf_counter() - start
    ordered = {job.job_id: outcomes[job.job_id] for job in jobs}
    return Spread(ordered, _costs(label, ordered, seconds, engine, workers))


def _slug(label: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", label.lower()).strip("_") or "jobs"


def _costs(
    label: str,
    outcomes: dict[str, Outcome],
    seconds: float,
    engine: str,
    workers: int,
) -> Costs:
    ended = outcomes.values()
    return Costs(
        label=label,
        n_jobs=len(outcomes),
        n_cached=0,
        seconds=seconds,
        busy_seconds=sum(outcome.seconds for outcome in ended),
        saved_seconds=0.0,
        peak_megabytes=max([peak_megabytes(), *(o.peak_megabytes for o in ended)]),
        engine=engine,
        workers=workers,
    )
