"""Study plan: what one study searches, and the fits by which it judges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ranking_pipeline.cache.origin import code_of
from ranking_pipeline.errors import UserError
from ranking_pipeline.jobs.config import JobsConfig
from ranking_pipeline.jobs.costs import Costs
from ranking_pipeline.jobs.outcome import Outcome
from ranking_pipeline.jobs.spread import spread
from ranking_pipeline.storage import sha256_json
from ranking_pipeline.training.job import TrainingJob
from ranking_pipeline.tuning.config import TuningConfig
from ranking_pipeline.tuning.fold import FoldJob, from_nulls, run_fold
from ranking_pipeline.tuning.fold_windows import FoldWindow
from ranking_pipeline.tuning.journal import require_optuna
from ranking_pipeline.tuning.space import Dimension

Series = npt.NDArray[np.float64]
_SEARCHES = "ranking_pipeline.tuning.search"
_SETTINGS = (
    "seed", "sampler", "startup_trials", "pruner", "batch_size", "min_symbols",
    "min_per_class",
)  # fmt: skip


@dataclass(frozen=True)
class StudyPlan:
    """What a study searches.

    Attributes
    ----------
    base : TrainingJob
        A fit with the default parameters.
    space : mapping of parameter to dimension
    folds : tuple of FoldWindow
        On which trials are judged.
    estimate : FoldWindow
        On which no trial is judged.
    block_bars : int
        Length of the blocks over which the skill is averaged before testing.
    """

    base: TrainingJob
    space: Mapping[str, Dimension]
    folds: tuple[FoldWindow, ...]
    estimate: FoldWindow
    block_bars: int

    @property
    def name(self) -> str:
        """Give the study's name for people."""
        return f"{self.base.family} on {self.base.target}"

    def key(self, config: TuningConfig) -> str:
        """Content hash of all that the trials depend on, but for their number."""
        windows = [*self.folds, self.estimate]
        return sha256_json(
            {
                **self.base.made_from,
                "space": {name: self.space[name].model_dump() for name in self.space},
                "folds": [(fold.window.content(), fold.known_by) for fold in windows],
                "search": {name: getattr(config, name) for name in _SETTINGS},
                "code": code_of(_SEARCHES),
                "optuna": require_optuna().__version__,
            }
        )


def fold_job(
    plan: StudyPlan,
    config: TuningConfig,
    job_id: str,
    parameters: Mapping[str, Any],
    fold: FoldWindow,
) -> FoldJob:
    """Make the job that judges parameters on one fold."""
    training = replace(
        plan.base,
        parameters={**plan.base.parameters, **parameters},
        seed=config.seed,
        window=fold.window,
    )
    return FoldJob(
        job_id,
        training,
        fold,
        config.min_symbols,
        config.min_per_class,
        str(Path(config.studies) / "fits"),
    )


def run_folds(
    jobs: Sequence[FoldJob], how: JobsConfig, label: str
) -> tuple[Mapping[str, Outcome], Costs]:
    """Run fold jobs over workers; those that share a device run one by one."""
    alone = any(job.training.parameters.get("device", "cpu") != "cpu" for job in jobs)
    ledger = Path(how.ledger) / "tuning"
    ended = spread(jobs, run_fold, how, label, unit="fit", ledger=ledger, serial=alone)
    found = ended.outcomes.values()
    reused = sum(out.value is not None and out.value["reused"] for out in found)
    return ended.outcomes, replace(ended.costs, n_cached=reused)


def fold_series(outcome: Outcome) -> Series:
    """Give the skill per bar of a finished fold job.

    Raises
    ------
    UserError
        When it failed.
    """
    if outcome.status != "done":
        raise UserError(f"tuning: {outcome.error.removeprefix('UserError: ')}")
    return from_nulls(outcome.value["skill"])


def mean_skill(skill: Series) -> float:
    """Mean over the measured bars; NaN without one."""
    measured = skill[np.isfinite(skill)]
    return float(measured.mean()) if len(measured) else float("nan")
