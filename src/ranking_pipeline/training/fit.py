"""Training: one model of one target, from handles to an entry of the store."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.errors import UserError
from ranking_pipeline.jobs.config import JobsConfig
from ranking_pipeline.jobs.costs import Costs
from ranking_pipeline.jobs.outcome import Outcome
from ranking_pipeline.jobs.spread import spread
from ranking_pipeline.models import registry
from ranking_pipeline.models.base import BaseModel, PredictionOutput
from ranking_pipeline.models.samples import Samples
from ranking_pipeline.models.store import PREDICTIONS, Entry, ModelStore
from ranking_pipeline.models.tasks import CLASSES
from ranking_pipeline.storage import write_table
from ranking_pipeline.training.earlier_scores import score_column
from ranking_pipeline.training.facts import HEADS, facts_of, head_scores
from ranking_pipeline.training.job import TrainingJob
from ranking_pipeline.training.rows import TrainingRows, training_rows

__all__ = ["Trained", "TrainingJob", "run_training_job", "train"]

_log = logging.getLogger(__name__)
PROBABILITIES = ("prob_short", "prob_neutral", "prob_long")
SKIPPED = "skipped"
_COLUMNS = {"binary": ("prob_neutral", "prob_long"), "three_class": PROBABILITIES}
_LASTING = ("n_rows", "train_first", "train_last", "network", "loss", "calibration")


class Trained(NamedTuple):
    """What became of the jobs of a stage, what it took, and what each of them took."""

    outcomes: list[dict[str, Any]]
    costs: Costs
    job_costs: list[dict[str, Any]]


def run_training_job(job: TrainingJob) -> dict[str, Any]:
    """Train a model, predict, and store both; a finished entry is reused.

    Returns
    -------
    dict
        ``key``, ``model_id``, ``reused``, ``n_rows`` (training rows), ``train_first``
        and ``train_last`` (ISO), ``sha256`` (of the predictions), ``network``,
        ``loss`` and ``calibration`` (slope and error). For a window with too few rows
        only ``model_id``, ``n_rows`` and ``skipped``, the reason.

    Raises
    ------
    UserError
        When data changed since the job was made, or hold no rows to learn from.
    """
    store, key = ModelStore(Path(job.store_root)), job.key
    entry = store.find(key)
    reused = entry is not None
    if entry is None:
        rows = training_rows(job)
        reason = _too_few(job, rows)
        if reason:
            return {
                "model_id": job.model_id,
                "n_rows": len(rows.fit),
                SKIPPED: reason,
            }
        entry = _train(job, rows, store, key)
    return {
        "key": key,
        "model_id": job.model_id,
        "reused": reused,
        "sha256": entry.files[PREDICTIONS],
        **{name: entry.facts[name] for name in _lasting_facts(job)},
    }


def _lasting_facts(job: TrainingJob) -> tuple[str, ...]:
    return (*_LASTING, HEADS) if job.helpers else _LASTING


def train(jobs: Sequence[TrainingJob], stage: str, how: JobsConfig) -> Trained:
    """Run jobs over workers, with a progress bar; see :func:`spread`.

    GPU jobs that use a device run one after the other, since a device serves one at a
    time: in this process, or in one worker where a time limit may have to end them. On
    a CPU they are spread like any other.

    Parameters
    ----------
    jobs
    stage
        ``cpu`` or ``gpu``, in any case; also the label of the bar.
    how

    Returns
    -------
    Trained
        ``outcomes``: one dict per job in the order of ``jobs``, the fields of its
        ``Outcome`` that do not depend on where it ran, and its ``job_id``; status
        ``skipped`` for a window with too few rows. ``costs`` of the stage; its
        ``n_cached`` counts the models that the store had. ``job_costs``: one dict per
        job, see :func:`_took`.
    """
    ModelStore(Path(how.store)).sweep()
    limits = _limits(jobs, how)
    alone = any(job.parameters.get("device", "cpu") != "cpu" for job in jobs)
    label = f"{stage} models"
    ended: dict[str, Outcome] = {}
    costs: list[Costs] = []
    for number, wave in enumerate(_waves(jobs), start=1):
        name = label if number == 1 else f"{label} {number}"
        made = spread(
            wave,
            run_training_job,
            how,
            name,
            unit="model",
            serial=alone,
            job_limits=limits,
        )
        ended |= made.outcomes
        costs.append(made.costs)
    lasting = [_lasting(job.job_id, ended[job.job_id]) for job in jobs]
    _log_skips(lasting, label)
    reused = sum(_is_reused(outcome) for outcome in ended.values())
    took = [_took(job, ended[job.job_id]) for job in jobs]
    return Trained(lasting, replace(_summed(costs), n_cached=reused), took)


def _took(job: TrainingJob, outcome: Outcome) -> dict[str, Any]:
    """Wall seconds of a job's last attempt, and the highest memory of its worker (MB).

    A worker's memory counts the jobs that it had before.
    """
    return {
        "job_id": job.job_id,
        "family": job.family,
        "status": outcome.status,
        "reused": _is_reused(outcome),
        "seconds": outcome.seconds,
        "peak_megabytes": outcome.peak_megabytes,
    }


def _limits(jobs: Sequence[TrainingJob], how: JobsConfig) -> dict[str, float]:
    """Seconds of the jobs whose family has a limit of its own, by job id."""
    try:
        limits = {
            registry.canonical(family): seconds
            for family, seconds in how.family_timeout_seconds.items()
        }
    except UserError as error:
        raise UserError(f"jobs.family_timeout_seconds: {error}") from None
    named = {job.job_id: registry.canonical(job.family) for job in jobs}
    return {name: limits[family] for name, family in named.items() if family in limits}


def _waves(jobs: Sequence[TrainingJob]) -> list[list[TrainingJob]]:
    """Jobs that wait for no other, then those that need their scores, and so on."""
    depths = sorted({len(job.sources) for job in jobs}) or [0]
    return [[job for job in jobs if len(job.sources) == depth] for depth in depths]


def _summed(costs: Sequence[Costs]) -> Costs:
    return replace(
        costs[0],
        n_jobs=sum(one.n_jobs for one in costs),
        seconds=sum(one.seconds for one in costs),
        busy_seconds=sum(one.busy_seconds for one in costs),
        saved_seconds=sum(one.saved_seconds for one in costs),
        peak_megabytes=max(one.peak_megabytes for one in costs),
    )


def _log_skips(outcomes: Sequence[dict[str, Any]], label: str) -> None:
    skips = [outcome for outcome in outcomes if outcome["status"] == SKIPPED]
    if skips:
        _log.warning(
            "%d of %d %s were skipped, first %s: %s",
            len(skips),
            len(outcomes),
            label,
            skips[0]["job_id"],
            skips[0]["error"],
        )


def _is_reused(outcome: Outcome) -> bool:
    return outcome.value is not None and outcome.value.get("reused", False)


def _lasting(job_id: str, outcome: Outcome) -> dict[str, Any]:
    value, status, error = outcome.value, outcome.status, outcome.error
    if value is not None:
        value = {name: fact for name, fact in value.items() if name != "reused"}
        if SKIPPED in value:
            status, error = SKIPPED, value.pop(SKIPPED)
    return {"job_id": job_id, "status": status, "error": error, "value": value}


def _too_few(job: TrainingJob, rows: TrainingRows) -> str:
    """Why a window is not fitted, or "" where it is."""
    window = job.window
    if window is None or len(rows.fit) >= window.min_rows:
        return ""
    of = "" if job.symbol is None else f" of {job.symbol}"
    return (
        f"window {window.number} ({window.train_start[:10]} to "
        f"{window.train_end[:10]}) has {len(rows.fit)} labelled rows{of} to fit, fewer "
        f"than model_training.walk_forward.min_train_rows {window.min_rows}; the months "
        f"from {window.predict_start[:10]} to {window.predict_end[:10]} have no "
        "prediction"
    )


def fitted(job: TrainingJob, rows: TrainingRows) -> BaseModel:
    """Make the model of a job and fit it; held-out rows stop it early where there are any.

    Raises
    ------
    UserError
        When the family refuses the parameters or the rows.
    """
    model = registry.create(
        job.family,
        job.parameters,
        job.seed,
        job.threads,
        task=job.task,
        features=job.inputs,
    )
    model.fit(rows.fit, rows.held_out if len(rows.held_out) else None)
    return model


def _train(job: TrainingJob, rows: TrainingRows, store: ModelStore, key: str) -> Entry:
    model = fitted(job, rows)
    output = model.predict(rows.scored)
    heads = head_scores(job, model, rows.scored)

    def fill(folder: Path) -> None:
        model.save(folder)
        table = prediction_table(rows.scored, output, heads)
        write_table(table, folder / PREDICTIONS)

    return store.write(key, fill, facts_of(job, model, rows))


def prediction_table(
    rows: Samples,
    output: PredictionOutput,
    heads: Mapping[str, npt.NDArray[np.float32]] | None = None,
) -> pd.DataFrame:
    """Timestamp, symbol, score and the three probabilities of scored rows.

    Scores of further ``heads`` have columns of their own, named by their targets.

    A row without a finite score (a window of bars with a gap) is left out. A binary
    target has no short side: its probabilities are P(0) as ``prob_neutral``
    and P(1) as ``prob_long``.
    """
    stamps = pd.DatetimeIndex(rows.panel.timestamps[rows.bars]).tz_localize("UTC")
    symbols = pd.Categorical.from_codes(
        rows.symbols, categories=pd.Index(list(rows.panel.symbols), dtype="str")
    )
    table = {"timestamp": stamps, "symbol": symbols, "score": output.score}
    empty: npt.NDArray[np.float32] = np.full(len(rows), np.nan, dtype=np.float32)
    table.update(dict.fromkeys(PROBABILITIES, empty))
    if output.probabilities is not None and rows.task in CLASSES:
        table.update(zip(_COLUMNS[rows.task], output.probabilities.T, strict=True))
    for target, score in (heads or {}).items():
        table[score_column(target)] = score
    frame = pd.DataFrame(table)
    scored: pd.DataFrame = frame[np.isfinite(frame["score"])]
    return scored.reset_index(drop=True)
