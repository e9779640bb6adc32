"""Ensembles: averages of the ranks that the pooled models of a target give."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ranking_pipeline.evaluation.inference import BlockTest
from ranking_pipeline.models.store import ModelStore
from ranking_pipeline.training.collect import join_predictions
from ranking_pipeline.training.config import EnsemblesConfig
from ranking_pipeline.training.derived import as_tables, spanning
from ranking_pipeline.training.earlier_scores import stored_scores
from ranking_pipeline.training.ensemble_weights import (
    Evidence,
    Floats,
    equal_weights,
    evidence,
    ic_weights,
    stacking_weights,
)
from ranking_pipeline.training.job import TrainingJob
from ranking_pipeline.training.rank_average import member_table
from ranking_pipeline.training.rows import labelled_train_rows
from ranking_pipeline.training.strategies import WEIGHED, pools

ROUTE = "ensemble"
WEIGHT_COLUMNS = (
    "ensemble",
    "method",
    "target",
    "seed",
    "model_id",
    "weight",
    "oof_rank_ic",
    "oof_t",
    "oof_bars",
    "status",
    "reason",
)
_log = logging.getLogger(__name__)
_UNFIT = {
    "ic_weighted": "no member has a positive rank IC out of fold",
    "stacking": "non-negative least squares gives every member a weight of 0",
}


class Ensembles(NamedTuple):
    """Rows that ensembles add, and how they were made."""

    models: pd.DataFrame
    predictions: pd.DataFrame
    weights: pd.DataFrame


@dataclass(frozen=True)
class _Pool:
    """The fitted models of one target and seed that are averaged."""

    target: str
    seed: int
    jobs: Mapping[str, TrainingJob]
    evidence: Evidence | None
    lacking: str

    def weights(self, method: str) -> tuple[Floats | None, str]:
        """Weights of the members, or why there are none."""
        if method not in WEIGHED:
            return equal_weights(len(self.jobs)), ""
        if self.evidence is None:
            return None, self.lacking
        find = ic_weights if method == "ic_weighted" else stacking_weights
        found = find(self.evidence)
        return found, "" if found is not None else _UNFIT[method]

    def name(self, method: str) -> str:
        """Id of an ensemble, with the strategy and the seed of its members."""
        model_id, job = next(iter(self.jobs.items()))
        return f"{method}:{self.target}" + model_id.removeprefix(
            f"{job.family}:{self.target}"
        )


def ensembles(
    jobs: Sequence[TrainingJob],
    outcomes: Iterable[Mapping[str, Any]],
    models: pd.DataFrame,
    predictions: pd.DataFrame,
    config: EnsemblesConfig,
) -> Ensembles:
    """Average the pooled models of each target and seed that has two or more.

    The score of a cell is the weighted mean of the percentile ranks that the members
    give it within the bar; a member without a score counts as the middle. Weights are
    equal (``rank_average``) or come from scores out of fold in the train block
    (``ic_weighted``, ``stacking``); nothing of validation or test is looked at.

    Measured on the default simulated market, seven families, four folds: mean rank IC
    on the validation bars less that of the best single family there (chosen on the same
    bars), with the t of the block means of the difference.

    ============  ===================  ===============  ================
    ensemble      1 day (low_rank)     5 days (lstm)    classes (ridge)
    ============  ===================  ===============  ================
    best family   0.119                0.063            0.048
    rank_average  -0.020 (t -4.8)      -0.000 (t -0.0)  -0.006 (t -1.2)
    ic_weighted   -0.016 (t -4.3)      +0.001 (t 0.1)   -0.004 (t -1.0)
    stacking      +0.006 (t 5.6)       +0.002 (t 0.2)   -0.002 (t -1.2)
    ============  ===================  ===============  ================

    The mean rank is as good as the best of families that are alike, and spoils one that
    stands out. Stacking keeps it and gains where families see different things, for
    five times the work. None is on by default.

    Parameters
    ----------
    jobs
        As :func:`ranking_pipeline.training.strategies.strategic` makes them.
    outcomes
        As :func:`ranking_pipeline.training.fit.train` returns them.
    models, predictions : DataFrame
        As :func:`ranking_pipeline.training.collect.collect` returns them.
    config

    Returns
    -------
    Ensembles
        ``models`` and ``predictions`` with the new rows, and the table of weights: a
        row per ensemble and member. An ensemble that cannot have weights is a
        ``skipped`` row with the reason: equal weights in its place would be
        another ensemble.
    """
    keys = {
        entry["job_id"]: entry["value"]["key"]
        for entry in outcomes
        if entry["status"] == "done"
    }
    rows: list[dict[str, Any]] = []
    tables: list[pd.DataFrame] = []
    told: list[dict[str, Any]] = []
    found = _pools(jobs, keys, models, config)
    if config.methods and not found:
        _log.warning(
            "ensembles: no target has two pooled models of %s; %s is not made",
            ", ".join(config.families) or "any family",
            ", ".join(config.methods),
        )
    for pool in found:
        names = list(pool.jobs)
        members = member_table(names, predictions) if config.methods else None
        for method in config.methods:
            weights, reason = pool.weights(method)
            told += _told(pool, method, weights, reason)
            if weights is None or members is None:
                _log.warning("%s is skipped: %s", pool.name(method), reason)
                continue
            rows.append(_model(pool, method, weights, models))
            ids = {"target": pool.target, "model_id": pool.name(method)}
            tables.append(members.averaged(weights).assign(**ids))
    weights_table = pd.DataFrame(told, columns=list(WEIGHT_COLUMNS))
    if not rows:
        return Ensembles(models, predictions, weights_table)
    new_models, new_predictions = as_tables(rows, tables, models)
    return Ensembles(
        pd.concat([models, new_models], ignore_index=True),
        join_predictions([predictions, new_predictions]),
        weights_table,
    )


def _pools(
    jobs: Sequence[TrainingJob],
    keys: Mapping[str, str],
    models: pd.DataFrame,
    config: EnsemblesConfig,
) -> list[_Pool]:
    """Pools of the models that were made, with their evidence where it is needed."""
    made = set(models["model_id"])
    done = [job for job in jobs if job.model_id in made or job.fold is not None]
    weighed = bool(WEIGHED & set(config.methods))
    found = []
    for (target, seed), pool in pools(done, config.families).items():
        known, lacking = None, ""
        if weighed:
            known, lacking = _evidence(target, pool, jobs, keys)
        found.append(_Pool(target, seed, pool, known, lacking))
    return found


def _evidence(
    target: str,
    pool: Mapping[str, TrainingJob],
    jobs: Sequence[TrainingJob],
    keys: Mapping[str, str],
) -> tuple[Evidence | None, str]:
    """What the members said out of fold, or who has no complete score."""
    folds = {
        model_id: [
            job
            for job in jobs
            if job.fold is not None and job.model_id.rpartition(":")[0] == model_id
        ]
        for model_id in pool
    }
    lacking = [
        model_id
        for model_id, own in folds.items()
        if not own or any(job.job_id not in keys for job in own)
    ]
    if lacking:
        return None, f"no scores out of fold of {', '.join(lacking)}"
    first = next(iter(pool.values()))
    rows = labelled_train_rows(first)
    store = ModelStore(Path(first.store_root))
    scores = [
        stored_scores(rows, [keys[job.job_id] for job in own], store, target)
        for own in folds.values()
    ]
    return evidence(scores, rows), ""


def _model(
    pool: _Pool, method: str, weights: Floats, models: pd.DataFrame
) -> dict[str, Any]:
    members = models[models["model_id"].isin(list(pool.jobs))]
    return spanning(members) | {
        "model_id": pool.name(method),
        "target": pool.target,
        "family": method,
        "route": ROUTE,
        "seed": pool.seed,
        "parts": json.dumps(list(pool.jobs)),
        "weights": json.dumps([float(weight) for weight in weights]),
    }


def _told(
    pool: _Pool, method: str, weights: Floats | None, reason: str
) -> list[dict[str, Any]]:
    n = len(pool.jobs)
    tests: Sequence[BlockTest | None] = [None] * n
    if pool.evidence is not None:
        tests = pool.evidence.tests
    values = np.full(n, np.nan) if weights is None else weights
    return [
        {
            "ensemble": pool.name(method),
            "method": method,
            "target": pool.target,
            "seed": pool.seed,
            "model_id": model_id,
            "weight": float(value),
            "oof_rank_ic": np.nan if test is None else test.mean,
            "oof_t": np.nan if test is None else test.t,
            "oof_bars": 0 if test is None else test.n_bars,
            "status": "skipped" if weights is None else "done",
            "reason": reason,
        }
        for model_id, value, test in zip(pool.jobs, values, tests, strict=True)
    ]
