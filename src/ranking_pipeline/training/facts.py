"""Facts: what a trained model's document tells, beyond the model itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ranking_pipeline.models.base import BaseModel
from ranking_pipeline.models.samples import Samples
from ranking_pipeline.training.calibration import UNKNOWN, Calibration, calibrate
from ranking_pipeline.training.job import TrainingJob
from ranking_pipeline.training.rows import TrainingRows

HEADS = "helper_calibration"


def facts_of(job: TrainingJob, model: BaseModel, rows: TrainingRows) -> dict[str, Any]:
    """Tell what was learned from what, and how well it did on its held-out rows."""
    train = rows.fit
    stamps = np.datetime_as_string(
        train.panel.timestamps[train.bars[[0, -1]]], unit="s"
    )
    importance = model.importance()
    loss = str(getattr(model.config, "regression_loss", ""))
    measured = _calibration(job, model, rows.held_out)
    return {
        "family": job.family,
        "parameters": dict(job.parameters),
        "seed": job.seed,
        "target": job.target,
        "task": job.task,
        "symbol": job.symbol,
        "features": list(job.inputs),
        "learning_target": job.learning_target,
        "feature_scale": job.feature_scale,
        "sample_weights": job.sample_weights,
        "window": None if job.window is None else job.window.content(),
        "n_rows": len(train),
        "train_first": f"{stamps[0]}Z",
        "train_last": f"{stamps[1]}Z",
        "network": job.family if job.stage == "gpu" else "",
        "loss": loss if job.task == "regression" else "",
        "calibration": _told(measured),
        "importance": None if importance is None else importance.tolist(),
        "history": model.history(),
        **_strategy_facts(job, model, rows.held_out),
    }


def _strategy_facts(
    job: TrainingJob, model: BaseModel, held_out: Samples
) -> dict[str, Any]:
    """What only a fold, a model with several heads or one of a cascade has to tell."""
    facts: dict[str, Any] = {}
    if job.fold is not None:
        facts["fold"] = job.fold.content()
    if job.helpers:
        facts["helpers"] = list(job.helpers)
        facts[HEADS] = helper_calibration(job, model, held_out)
    if job.sources:
        facts["sources"] = {source.target: source.whole for source in job.sources}
    return facts


def head_scores(
    job: TrainingJob, model: Any, rows: Samples
) -> dict[str, npt.NDArray[np.float32]]:
    """Scores for the helpers of a model with several heads, by target."""
    if not job.helpers:
        return {}
    return dict(zip(job.helpers, model.heads(rows).T[1:], strict=True))


def _calibration(job: TrainingJob, model: BaseModel, held_out: Samples) -> Calibration:
    """Slope of a regression on its held-out rows; unknown without a centred target."""
    if not _is_centred(job) or not len(held_out):
        return UNKNOWN
    score = model.predict(held_out).score
    return calibrate(score, held_out, pooled=job.symbol is None)


def _is_centred(job: TrainingJob) -> bool:
    return job.task == "regression" and job.learning_target != "raw"


def helper_calibration(
    job: TrainingJob, model: BaseModel, held_out: Samples
) -> dict[str, list[float] | None]:
    """Slope and error of each helper's head on the held-out rows that know it."""
    found: dict[str, list[float] | None] = dict.fromkeys(job.helpers)
    if not _is_centred(job) or not len(held_out) or held_out.auxiliary is None:
        return found
    heads = head_scores(job, model, held_out)
    for target, column in zip(job.helpers, held_out.auxiliary.T, strict=True):
        rows = replace(held_out, target=column)
        known = np.isfinite(column)
        measured = calibrate(heads[target][known], rows.take(known), pooled=True)
        found[target] = _told(measured)
    return found


def _told(measured: Calibration) -> list[float] | None:
    return None if measured is UNKNOWN else [measured.slope, measured.error]
