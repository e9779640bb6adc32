"""Fan-out over targets: the same evidence for each, in as many processes as there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import pandas as pd

from ranking_pipeline.config import Config
from ranking_pipeline.errors import UserError
from ranking_pipeline.jobs.config import JobsConfig
from ranking_pipeline.jobs.outcome import Outcome
from ranking_pipeline.jobs.run import run_jobs
from ranking_pipeline.selection.training_data import TrainingData
from ranking_pipeline.splits import Splits
from ranking_pipeline.storage import PanelHandle, TableHandle, sha256_json

Found = TypeVar("Found")
Evidence = Callable[[TrainingData, str, Any], Found]
Each = Callable[[Evidence[Any], Sequence[str], Config], list[Any]]


@dataclass(frozen=True)
class StoredData:
    """Where the tables lie: what travels to a worker instead of them."""

    panel: PanelHandle
    features: TableHandle
    feature_manifest: pd.DataFrame
    labels: TableHandle
    target_manifest: pd.DataFrame
    splits: Mapping[str, Any]

    def content(self) -> str:
        """Digest of everything that the loaded data depend on."""
        tables = [h.sha256 for h in (self.panel, self.features, self.labels)]
        manifests = [
            frame.to_csv() for frame in (self.feature_manifest, self.target_manifest)
        ]
        return sha256_json([*tables, *manifests, self.splits])

    def load(self) -> TrainingData:
        """Read the tables, once per process, and cut them at the train span's end."""
        content = self.content()
        if content not in _loaded:
            _loaded.clear()
            _loaded[content] = TrainingData.cut(
                self.panel.read(),
                self.features.read(),
                self.feature_manifest,
                self.labels.read(),
                self.target_manifest,
                Splits.from_dict(self.splits),
            )
        return _loaded[content]


_loaded: dict[str, TrainingData] = {}


@dataclass(frozen=True)
class TargetJob:
    """The evidence on one target."""

    job_id: str
    evidence: Evidence[Any]
    stored: StoredData
    config: Config


def in_turn(data: TrainingData) -> Each:
    """Collect evidence on one target after the other, in this process."""
    return lambda evidence, targets, config: [
        evidence(data, target, config) for target in targets
    ]


def over_workers(stored: StoredData, how: JobsConfig, label: str) -> Each:
    """Collect evidence on several targets at once; results are those of :func:`in_turn`.

    Parameters
    ----------
    stored
    how
        Engine and workers.
    label
        Of the progress bar.
    """

    def each(
        evidence: Evidence[Any], targets: Sequence[str], config: Config
    ) -> list[Any]:
        from tqdm import tqdm

        jobs = [TargetJob(target, evidence, stored, config) for target in targets]
        workers, threads = how.resolved()
        ended: dict[str, Outcome] = {}
        with tqdm(total=len(jobs), desc=label, unit="target", disable=not jobs) as bar:
            for target, outcome in run_jobs(
                jobs,
                run_target_job,
                engine=how.engine,
                workers=workers,
                threads=threads,
                max_attempts=how.max_attempts,
                address=how.address,
            ):
                ended[target] = outcome
                bar.update()
        return [_value(target, ended[target]) for target in targets]

    return each


def run_target_job(job: TargetJob) -> Any:
    """Collect the evidence on one target; this runs in a worker."""
    return job.evidence(job.stored.load(), job.job_id, job.config)


def _value(target: str, outcome: Outcome) -> Any:
    if outcome.status != "done":
        raise UserError(f"{target}: {outcome.error.removeprefix('UserError: ')}")
    return outcome.value
