"""Search: trials proposed in batches, judged fold by fold, and told to a study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ranking_pipeline.errors import UserError
from ranking_pipeline.jobs.config import JobsConfig
from ranking_pipeline.jobs.costs import Costs
from ranking_pipeline.jobs.outcome import Outcome
from ranking_pipeline.tuning.config import TuningConfig
from ranking_pipeline.tuning.fold import from_nulls, to_nulls
from ranking_pipeline.tuning.journal import require_optuna
from ranking_pipeline.tuning.space import distributions
from ranking_pipeline.tuning.study_plan import (
    Series,
    StudyPlan,
    fold_job,
    fold_series,
    mean_skill,
    run_folds,
)

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.storages import JournalStorage

COMPLETE, PRUNED, FAILED = "complete", "pruned", "failed"
_VERDICTS = "verdicts from trial "
_UNMEASURED = "no bar of the folds has tuning.min_symbols labelled symbols"


@dataclass(frozen=True)
class TrialResult:
    """What became of one set of parameters.

    Attributes
    ----------
    index : int
        Counts from 0, which has the default parameters.
    state : str
        ``complete``, ``pruned`` or ``failed``.
    parameters : mapping
        The tuned ones.
    skill : ndarray of float64, shape (bars of the folds it was judged on,)
        NaN where a bar cannot be measured.
    error : str
    """

    index: int
    state: str
    parameters: Mapping[str, Any]
    skill: Series
    error: str

    @property
    def value(self) -> float:
        """Mean skill over the measured bars; NaN without one."""
        return mean_skill(self.skill)


@dataclass
class _InWork:
    """A trial that was proposed, and what is known of it so far."""

    index: int
    proposed: Trial
    state: str = COMPLETE
    error: str = ""
    skills: list[Series] = field(default_factory=list)

    def verdict(self) -> dict[str, Any]:
        return {
            "index": self.index,
            "number": self.proposed.number,
            "state": self.state,
            "error": self.error,
            "skill": to_nulls(np.concatenate([np.empty(0), *self.skills])),
        }


class Search:
    """A study in work: what is proposed next, and what is told about it.

    A batch is proposed from the trials of earlier batches, with seeds made from the
    trials' indices. What it decided becomes one line of the journal, so that a run that
    dies leaves all of a batch's verdicts or none. A batch without them is proposed again,
    the same, and finds its finished fits.

    Parameters
    ----------
    plan, config, jobs
    storage : JournalStorage
    key : str
        Name of the study in its journal.
    """

    def __init__(
        self,
        plan: StudyPlan,
        config: TuningConfig,
        jobs: JobsConfig,
        storage: JournalStorage,
        key: str,
    ) -> None:
        self._plan, self._config, self._jobs = plan, config, jobs
        self._space = distributions(plan.space)
        self.costs: list[Costs] = []
        self.study: Study = require_optuna().create_study(
            storage=storage,
            study_name=key,
            direction="maximize",
            load_if_exists=True,
            pruner=_pruner(config),
        )

    def settle(self) -> None:
        """End the trials that a dead run left: told where decided, failed elsewhere."""
        from optuna.trial import TrialState

        verdicts = {verdict["number"]: verdict for verdict in self._verdicts()}
        for trial in self.study.get_trials(states=(TrialState.RUNNING,)):
            if trial.number in verdicts:
                self._tell(verdicts[trial.number])
            else:
                self.study.tell(trial.number, state=TrialState.FAIL)

    def trials(self) -> list[TrialResult]:
        """Give the trials with a verdict, by index."""
        tried = {t.number: t.params for t in self.study.get_trials(deepcopy=False)}
        verdicts = sorted(self._verdicts(), key=lambda verdict: verdict["index"])
        return [_result(tried[verdict["number"]], verdict) for verdict in verdicts]

    def run_batch(self) -> None:
        """Propose trials, judge them fold by fold, and tell what became of them.

        Raises
        ------
        UserError
            When the default parameters fail.
        """
        first, size = len(self._verdicts()), self._config.batch_size
        end = min((first // size + 1) * size, self._config.n_trials)
        batch = [_InWork(index, self._ask(index)) for index in range(first, end)]
        for folds in self._groups():
            self._judge([trial for trial in batch if trial.state == COMPLETE], folds)
        if batch[0].index == 0 and batch[0].state == FAILED:
            raise UserError(
                f"tuning: the default parameters fail for {self._plan.name}: "
                + batch[0].error.removeprefix("UserError: ")
            )
        verdicts = [trial.verdict() for trial in batch]
        self.study.set_user_attr(f"{_VERDICTS}{first}", verdicts)
        for verdict in verdicts:
            self._tell(verdict)

    def _verdicts(self) -> list[dict[str, Any]]:
        kept = self.study.user_attrs
        return [v for name in kept if name.startswith(_VERDICTS) for v in kept[name]]

    def _ask(self, index: int) -> Trial:
        """Propose one trial from earlier batches and those proposed before it."""
        from optuna.trial import TrialState

        self.study.sampler = _sampler(self._config, index)
        if index == 0 and not self.study.get_trials(states=(TrialState.WAITING,)):
            defaults = {name: self._plan.base.parameters[name] for name in self._space}
            self.study.enqueue_trial(defaults)
        return self.study.ask(self._space)

    def _groups(self) -> list[range]:
        """Folds between which trials may be pruned."""
        n_folds = len(self._plan.folds)
        if self._config.pruner == "none":
            return [range(n_folds)]
        return [range(fold, fold + 1) for fold in range(n_folds)]

    def _judge(self, trials: Sequence[_InWork], folds: Sequence[int]) -> None:
        """Fit trials on some folds, and end those that fail or are far behind."""
        if not trials:
            return
        jobs = [
            fold_job(
                self._plan,
                self._config,
                _job_id(trial, fold),
                trial.proposed.params,
                self._plan.folds[fold],
            )
            for trial in trials
            for fold in folds
        ]
        outcomes, costs = run_folds(jobs, self._jobs, f"tuning {self._plan.name}")
        self.costs.append(costs)
        for trial in trials:
            self._note(trial, [outcomes[_job_id(trial, fold)] for fold in folds])

    def _note(self, trial: _InWork, found: Sequence[Outcome]) -> None:
        trial.error = next((outcome.error for outcome in found if outcome.error), "")
        if trial.error:
            trial.state = FAILED
            return
        trial.skills += [fold_series(outcome) for outcome in found]
        value, last = mean_skill(np.concatenate(trial.skills)), self._is_last(trial)
        if np.isfinite(value):
            trial.proposed.report(value, len(trial.skills))
            # the defaults are what all others are compared with
            if trial.index and not last and trial.proposed.should_prune():
                trial.state = PRUNED
        elif last:
            trial.state, trial.error = FAILED, _UNMEASURED

    def _is_last(self, trial: _InWork) -> bool:
        return len(trial.skills) == len(self._plan.folds)

    def _tell(self, verdict: Mapping[str, Any]) -> None:
        from optuna.trial import TrialState

        states = {PRUNED: TrialState.PRUNED, FAILED: TrialState.FAIL}
        if verdict["state"] == COMPLETE:
            value = mean_skill(from_nulls(verdict["skill"]))
            self.study.tell(verdict["number"], value)
        else:
            self.study.tell(verdict["number"], state=states[verdict["state"]])


def _result(parameters: Mapping[str, Any], verdict: Mapping[str, Any]) -> TrialResult:
    return TrialResult(
        verdict["index"],
        verdict["state"],
        parameters,
        from_nulls(verdict["skill"]),
        verdict["error"],
    )


def _job_id(trial: _InWork, fold: int) -> str:
    return f"trial{trial.index}:fold{fold + 1}"


def _sampler(config: TuningConfig, index: int) -> Any:
    """Make a sampler whose draws depend on the trial's index, not on earlier draws."""
    samplers = require_optuna().samplers
    seed = int(np.random.SeedSequence([config.seed, index]).generate_state(1)[0])
    if config.sampler == "random":
        return samplers.RandomSampler(seed=seed)
    return samplers.TPESampler(seed=seed, n_startup_trials=config.startup_trials)


def _pruner(config: TuningConfig) -> Any:
    pruners = require_optuna().pruners
    if config.pruner == "none":
        return pruners.NopPruner()
    return pruners.MedianPruner(n_startup_trials=config.startup_trials)
