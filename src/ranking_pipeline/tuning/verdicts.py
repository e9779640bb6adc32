"""Verdicts: whether the best parameters of a study beat the defaults, out of sample."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ranking_pipeline.evaluation.inference import (
    PairedComparison,
    benjamini_hochberg,
    block_test,
    paired_comparison,
)
from ranking_pipeline.jobs.config import JobsConfig
from ranking_pipeline.jobs.costs import Costs
from ranking_pipeline.storage import number_or_null
from ranking_pipeline.tuning.config import TuningConfig
from ranking_pipeline.tuning.search import COMPLETE, FAILED, PRUNED, TrialResult
from ranking_pipeline.tuning.study import StudyResult
from ranking_pipeline.tuning.study_plan import (
    Series,
    fold_job,
    fold_series,
    mean_skill,
    run_folds,
)
from ranking_pipeline.wording import counted

TRIAL_COLUMNS = (
    "study", "target", "family", "trial", "state", "value", "t", "n_bars",
    "parameters", "error",
)  # fmt: skip


@dataclass(frozen=True)
class Verdict:
    """The best parameters of a study beside the defaults.

    Attributes
    ----------
    result : StudyResult
    chosen_on : PairedComparison
        Best minus default on the folds by which the best was chosen: too good, since
        the best of many trials is partly luck.
    best_estimate, default_estimate : ndarray of float64
        Skill per bar of the span that no trial was judged on.
    estimate : PairedComparison
        Best minus default there.
    q : float
        Of the estimate, by Benjamini-Hochberg over all studies of the run; NaN where
        the span has too few blocks, or the defaults are the best.
    beats_default : bool
    reason : str
    """

    result: StudyResult
    chosen_on: PairedComparison
    best_estimate: Series
    default_estimate: Series
    estimate: PairedComparison
    q: float
    beats_default: bool
    reason: str

    @property
    def p(self) -> float:
        """Give the p-value of the estimate; 1 where it was not tested."""
        p = self.estimate.test.p
        return p if np.isfinite(p) else 1.0


def judge(
    results: Sequence[StudyResult], config: TuningConfig, jobs: JobsConfig
) -> tuple[list[Verdict], list[Costs]]:
    """Compare best and default parameters on bars that no trial was judged on.

    Returns
    -------
    list of Verdict
        One per study, in their order.
    list of Costs
    """
    measured = [_estimates(result, config, jobs) for result in results]
    pairs = [pair for pair, _ in measured]
    tests = [
        paired_comparison(*pair, result.plan.block_bars, config.seed)
        for pair, result in zip(pairs, results, strict=True)
    ]
    tuned = np.array([result.best.index > 0 for result in results])
    p = np.array([test.test.p for test in tests], dtype=np.float64)
    q = benjamini_hochberg(np.where(tuned, p, np.nan))
    verdicts = [
        _verdict(result, pair, test, float(level), config)
        for result, pair, test, level in zip(results, pairs, tests, q, strict=True)
    ]
    return verdicts, [costs for _, costs in measured]


def _estimates(
    result: StudyResult, config: TuningConfig, jobs: JobsConfig
) -> tuple[tuple[Series, Series], Costs]:
    """Skill per bar of the best and the default parameters where none was chosen.

    Each is the mean over several seeds: early stopping on a weak signal makes one fit a
    matter of luck, which no test over bars sees.
    """
    plan, trials = result.plan, (result.best, result.default)
    seeds = range(config.seed, config.seed + config.estimate_seeds)
    planned = {
        (trial.index, seed): fold_job(
            plan,
            config.model_copy(update={"seed": seed}),
            f"estimate{trial.index}:seed{seed}",
            trial.parameters,
            plan.estimate,
        )
        for trial in trials
        for seed in seeds
    }
    label = f"tuning {plan.name}, best and default"
    outcomes, costs = run_folds(list(planned.values()), jobs, label)
    best, default = (
        np.mean([fold_series(outcomes[planned[t.index, s].job_id]) for s in seeds], 0)
        for t in trials
    )
    return (best, default), costs


def _verdict(
    result: StudyResult,
    pair: tuple[Series, Series],
    estimate: PairedComparison,
    q: float,
    config: TuningConfig,
) -> Verdict:
    chosen_on = paired_comparison(
        result.best.skill, result.default.skill, result.plan.block_bars, config.seed
    )
    reason = _refusal(result, estimate, q, config.false_discovery_rate)
    trials = counted(len(result.trials), "trial")
    text = reason or (
        f"the best of {trials} gains {estimate.test.mean:+.4f} on "
        f"{estimate.test.n_bars} bars that judged no trial"
    )
    return Verdict(result, chosen_on, *pair, estimate, q, not reason, text)


def _refusal(
    result: StudyResult, estimate: PairedComparison, q: float, level: float
) -> str:
    """Why the defaults stay; empty where they do not."""
    gain, test = estimate.test.mean, estimate.test
    if result.best.index == 0:
        n_trials = counted(len(result.trials), "trial")
        return f"none of {n_trials} is better than the defaults"
    if not gain > 0:
        return f"the best trial loses {-gain:.4f} on bars that judged no trial"
    if level < 1 and not q <= level:
        told = (
            f"q {q:.2f}, above tuning.false_discovery_rate {level:g}"
            if np.isfinite(q)
            else f"{test.n_blocks} blocks of {test.block_bars} bars are too few to test"
        )
        return f"a gain of {gain:+.4f} on bars that judged no trial may be luck: {told}"
    return ""


def trial_table(results: Sequence[StudyResult]) -> pd.DataFrame:
    """Every trial of every study, in the order of studies and trials."""
    rows = []
    for result in results:
        names = (result.key[:16], result.plan.base.target, result.plan.base.family)
        for trial in result.trials:
            test = block_test(trial.skill, result.plan.block_bars)
            told = (trial.index, trial.state, trial.value, test.t, test.n_bars)
            text = json.dumps(dict(sorted(trial.parameters.items())))
            rows.append((*names, *told, text, trial.error))
    return pd.DataFrame(rows, columns=list(TRIAL_COLUMNS))


def best_document(verdicts: Sequence[Verdict], config: TuningConfig) -> dict[str, Any]:
    """Give the verdicts as a JSON object; what was not measured is null."""
    return {
        "n_trials": sum(len(verdict.result.trials) for verdict in verdicts),
        "false_discovery_rate": config.false_discovery_rate,
        "studies": [_document(verdict) for verdict in verdicts],
    }


def _document(verdict: Verdict) -> dict[str, Any]:
    result = verdict.result
    states = [trial.state for trial in result.trials]
    plan = result.plan
    return {
        "target": plan.base.target,
        "family": plan.base.family,
        "study": result.key[:16],
        "n_features": len(plan.base.features),
        "n_trials": len(states),
        "n_complete": states.count(COMPLETE),
        "n_pruned": states.count(PRUNED),
        "n_failed": states.count(FAILED),
        "beats_default": verdict.beats_default,
        "reason": verdict.reason,
        "best": _trial(result.best, plan.block_bars),
        "default": _trial(result.default, plan.block_bars),
        "chosen_on": _comparison(verdict.chosen_on),
        "estimate": {
            "first": plan.estimate.window.predict_start,
            "last": plan.estimate.window.predict_end,
            "best": number_or_null(mean_skill(verdict.best_estimate)),
            "default": number_or_null(mean_skill(verdict.default_estimate)),
            **_comparison(verdict.estimate),
            "q": number_or_null(verdict.q),
        },
    }


def _trial(trial: TrialResult, block_bars: int) -> dict[str, Any]:
    return {
        "trial": trial.index,
        "value": number_or_null(trial.value),
        "t": number_or_null(block_test(trial.skill, block_bars).t),
        "parameters": dict(sorted(trial.parameters.items())),
    }


def _comparison(found: PairedComparison) -> dict[str, Any]:
    test = found.test
    return {
        "difference": number_or_null(test.mean),
        "t": number_or_null(test.t),
        "p": number_or_null(test.p),
        "interval": [number_or_null(test.ci_low), number_or_null(test.ci_high)],
        "bootstrap_interval": [
            number_or_null(found.bootstrap_low),
            number_or_null(found.bootstrap_high),
        ],
        "minimum_detectable_effect": number_or_null(found.minimum_detectable_effect),
        "n_bars": test.n_bars,
        "n_blocks": test.n_blocks,
    }
