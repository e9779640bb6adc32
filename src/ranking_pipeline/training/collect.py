"""Collecting: outcomes of training jobs as tables."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ranking_pipeline.errors import UserError
from ranking_pipeline.jobs.outcome import Outcome
from ranking_pipeline.models.store import ModelStore
from ranking_pipeline.training.earlier_scores import score_column
from ranking_pipeline.training.facts import HEADS
from ranking_pipeline.training.fit import PROBABILITIES, SKIPPED
from ranking_pipeline.training.job import TrainingJob
from ranking_pipeline.wording import counted

MODEL_COLUMNS = (
    "model_id",
    "target",
    "family",
    "route",
    "symbol",
    "network",
    "loss",
    "seed",
    "window",
    "train_first",
    "train_last",
    "predict_first",
    "predict_last",
    "n_rows",
    "calibration_slope",
    "calibration_error",
    "path",
    "sha256",
    "parts",
    "weights",
)
OUTCOME_COLUMNS = (
    "job_id",
    "model_id",
    "target",
    "family",
    "route",
    "symbol",
    "stage",
    "window",
    "status",
    "error",
    "n_rows",
)
KEY = ["timestamp", "symbol", "target", "model_id"]
PREDICTION_COLUMNS = (*KEY, "score", *PROBABILITIES)


def collect(
    jobs: Sequence[TrainingJob],
    outcomes: Iterable[tuple[str, Outcome]],
    *,
    on_error: str,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Tables of a training run; their order does not depend on who ended first.

    Parameters
    ----------
    jobs
        Those that were run.
    outcomes
        ``(job_id, outcome)`` of each, in any order, as ``run_jobs`` yields them.
    on_error
        ``record`` a failed job as a row, or ``raise``.

    Returns
    -------
    tuple of DataFrame
        ``models``, ``predictions`` and ``training_outcomes``. A model that is refitted
        has one ``model_id``: one row of ``models`` per window, and the predictions of
        its windows one after the other. A job with several heads makes one model per
        target. The model of a fold is an outcome and nothing else. ``parts`` is a JSON
        list of the fitted models that a row needs besides or instead of itself.

    Raises
    ------
    UserError
        When a job failed and ``on_error`` is ``raise``, when none of them made a model,
        or when all pooled ones failed: the test split is not opened for that. A window
        that was skipped for its few rows is no failure.
    """
    by_id = dict(outcomes)
    _check(jobs, by_id, on_error)
    done = [
        (job, by_id[job.job_id].value)
        for job in jobs
        if job.fold is None and by_id[job.job_id].status == "done"
    ]
    ids = {made["key"]: job.model_id for job, made in done}
    models = [row for job, made in done for row in _model_rows(job, made, ids)]
    tables = [table for job, made in done for table in _predictions(job, made)]
    rows = [_outcome_row(job, by_id[job.job_id]) for job in jobs]
    return (
        _utc(pd.DataFrame(models, columns=list(MODEL_COLUMNS))),
        join_predictions(tables),
        pd.DataFrame(rows, columns=list(OUTCOME_COLUMNS)),
    )


def join_predictions(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """One table of predictions, sorted by its key; text columns are categories.

    Raises
    ------
    UserError
        When a key occurs twice.
    """
    if not tables:
        return _empty_predictions()
    text = ["symbol", "target", "model_id"]
    joined = pd.concat([t.astype(dict.fromkeys(text, "str")) for t in _plain(tables)])
    joined = joined.astype(dict.fromkeys(text, "category"))
    codes = [joined[name].cat.codes.to_numpy() for name in reversed(text)]
    stamps = joined["timestamp"].to_numpy(dtype="datetime64[ns]").view("i8")
    order = np.lexsort([*codes, stamps])
    joined = joined.iloc[order].reset_index(drop=True)
    if joined.duplicated(KEY).any():
        first = joined[joined.duplicated(KEY)].iloc[0]
        raise UserError(f"predictions: {[str(first[k]) for k in KEY]} occurs twice.")
    return joined[list(PREDICTION_COLUMNS)]


def _plain(tables: Sequence[pd.DataFrame]) -> list[pd.DataFrame]:
    return [table.reset_index(drop=True) for table in tables]


def _check(
    jobs: Sequence[TrainingJob], by_id: Mapping[str, Outcome], on_error: str
) -> None:
    status = {job.job_id: by_id[job.job_id].status for job in jobs}
    unmade = [name for name in status if status[name] != "done"]
    failed = [name for name in unmade if status[name] != SKIPPED]
    whole = [job for job in jobs if job.fold is None]
    pooled = {job.job_id for job in whole if job.symbol is None}
    # without a pooled model there is nothing that evaluation could compare
    lost = bool(pooled & set(failed)) and pooled <= set(unmade)
    nothing = bool(whole) and {job.job_id for job in whole} <= set(unmade)
    if (failed and on_error == "raise") or lost or nothing:
        told = [f"  {name}: {by_id[name].error}" for name in (failed or unmade)[:10]]
        what = "failed" if failed else "were skipped"
        of = counted(len(jobs), "training job")
        raise UserError(f"{len(failed or unmade)} of {of} {what}:\n" + "\n".join(told))


def _model_rows(
    job: TrainingJob, made: Mapping[str, Any], ids: Mapping[str, str]
) -> Iterator[dict[str, Any]]:
    """One row per head of a job."""
    sources = [ids[source.whole] for source in job.sources]
    parts = parts_text([job.model_id, *sources]) if sources else ""
    calibrations = {job.target: made["calibration"], **made.get(HEADS, {})}
    for target, model_id in job.heads.items():
        row = _model_row(job, made, calibrations[target])
        yield row | {"model_id": model_id, "target": target, "parts": parts}


def parts_text(model_ids: Sequence[str]) -> str:
    """Ids of fitted models as the column ``parts`` holds them."""
    return json.dumps(list(model_ids))


def _model_row(
    job: TrainingJob, made: Mapping[str, Any], calibration: Sequence[float] | None
) -> dict[str, Any]:
    slope, error = calibration or (np.nan, np.nan)
    return {
        "family": job.family,
        "route": job.route,
        "symbol": job.symbol or "",
        "network": made["network"],
        "loss": made["loss"],
        "seed": job.seed,
        "window": _window(job),
        "train_first": made["train_first"],
        "train_last": made["train_last"],
        **_predicted(job),
        "n_rows": made["n_rows"],
        "calibration_slope": slope,
        "calibration_error": error,
        "path": f"{made['key'][:2]}/{made['key']}",
        "sha256": made["sha256"],
        "weights": "",
    }


def _outcome_row(job: TrainingJob, outcome: Outcome) -> dict[str, Any]:
    made = outcome.value or {"n_rows": 0}
    return {
        "job_id": job.job_id,
        "model_id": job.model_id,
        "target": job.target,
        "family": job.family,
        "route": job.route,
        "symbol": job.symbol or "",
        "stage": job.stage,
        "window": _window(job),
        "status": outcome.status,
        "error": outcome.error,
        "n_rows": made["n_rows"],
    }


def _window(job: TrainingJob) -> int:
    return 0 if job.window is None else job.window.number


def _predicted(job: TrainingJob) -> dict[str, str]:
    """First and last bar that a model predicts."""
    if job.window is None:
        validation, test = job.splits["validation"], job.splits["test"]
        return {"predict_first": validation["first"], "predict_last": test["last"]}
    window = job.window
    return {"predict_first": window.predict_start, "predict_last": window.predict_end}


def _predictions(job: TrainingJob, made: Mapping[str, Any]) -> Iterator[pd.DataFrame]:
    """One table per head of a job."""
    table = ModelStore(Path(job.store_root)).read_predictions(made["key"])
    plain = table[["timestamp", "symbol", "score", *PROBABILITIES]]
    for target, model_id in job.heads.items():
        score = "score" if target == job.target else score_column(target)
        yield plain.assign(score=table[score], target=target, model_id=model_id)


def _utc(models: pd.DataFrame) -> pd.DataFrame:
    for column in ("train_first", "train_last", "predict_first", "predict_last"):
        stamps = pd.to_datetime(models[column], utc=True)
        models[column] = stamps.astype("datetime64[ns, UTC]")
    return models


def _empty_predictions() -> pd.DataFrame:
    stamps = pd.Series([], dtype="datetime64[ns, UTC]")
    text = dict.fromkeys(KEY[1:], pd.Series([], dtype="category"))
    numbers = dict.fromkeys(("score", *PROBABILITIES), pd.Series([], dtype="float32"))
    return pd.DataFrame({"timestamp": stamps, **text, **numbers})
