"""Study: the search for one family's parameters on one target, from end to end."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ranking_pipeline.jobs.config import JobsConfig
from ranking_pipeline.jobs.costs import Costs
from ranking_pipeline.tuning.config import TuningConfig
from ranking_pipeline.tuning.journal import open_journal
from ranking_pipeline.tuning.search import COMPLETE, Search, TrialResult
from ranking_pipeline.tuning.study_plan import StudyPlan
from ranking_pipeline.wording import counted

if TYPE_CHECKING:
    from optuna import Study

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StudyResult:
    """A study as far as it went.

    Attributes
    ----------
    plan : StudyPlan
    key : str
    trials : tuple of TrialResult
        By index; at least the one of the default parameters.
    study : Study
        Optuna's, for its figures.
    costs : tuple of Costs
        Of the fan-outs of this run.
    """

    plan: StudyPlan
    key: str
    trials: tuple[TrialResult, ...]
    study: Study
    costs: tuple[Costs, ...]

    @property
    def default(self) -> TrialResult:
        """The trial of the default parameters."""
        return self.trials[0]

    @property
    def best(self) -> TrialResult:
        """The complete trial of the highest value, the first of equal ones."""
        complete = [trial for trial in self.trials if trial.state == COMPLETE]
        return max(complete, key=lambda trial: (trial.value, -trial.index))


def run_study(plan: StudyPlan, config: TuningConfig, jobs: JobsConfig) -> StudyResult:
    """Run a study to its number of trials, from where an earlier run left it.

    The trials depend on neither workers nor interruptions; see
    :class:`ranking_pipeline.tuning.search.Search`. Whatever the time limit, a run adds
    at least one batch.

    Raises
    ------
    UserError
        When the default parameters fail, or another process works on the study.
    """
    key = plan.key(config)
    name = f"{plan.base.target}-{key[:16]}.journal"
    with open_journal(Path(config.studies) / plan.base.family / name) as storage:
        search = Search(plan, config, jobs, storage, key)
        search.settle()
        started, done = time.monotonic(), len(search.trials())
        if done:
            _log.info(
                "tuning %s goes on: %s found, %d to go",
                plan.name,
                counted(done, "trial"),
                max(0, config.n_trials - done),
            )
        while done < config.n_trials:
            if search.costs and _is_over(config, started):
                break
            search.run_batch()
            done = len(search.trials())
        if done < config.n_trials:
            _log.warning(
                "tuning %s: stopped after %d of %d trials by tuning.timeout_seconds %g; "
                "run again to go on",
                plan.name,
                done,
                config.n_trials,
                config.timeout_seconds,
            )
        trials = tuple(search.trials())
        return StudyResult(plan, key, trials, search.study, tuple(search.costs))


def _is_over(config: TuningConfig, started: float) -> bool:
    limit = config.timeout_seconds
    return limit is not None and time.monotonic() - started > limit
