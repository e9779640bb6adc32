"""Training job: one model of one target, from handles to an entry of the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.errors import UserError
from ranking_pipeline.jobs.config import JobsConfig
from ranking_pipeline.jobs.outcome import Outcome
from ranking_pipeline.jobs.run import run_jobs
from ranking_pipeline.models import registry
from ranking_pipeline.models.assemble import assemble, feature_ranks, normal_scores
from ranking_pipeline.models.base import BaseModel, PredictionOutput
from ranking_pipeline.models.classes import CLASSES
from ranking_pipeline.models.samples import Samples
from ranking_pipeline.models.store import PREDICTIONS, Entry, ModelStore, content_key
from ranking_pipeline.splits import Splits
from ranking_pipeline.storage import (
    PanelHandle,
    TableHandle,
    module_digest,
    write_table,
)

PROBABILITIES = ("prob_short", "prob_neutral", "prob_long")
_COLUMNS = {"binary": ("prob_neutral", "prob_long"), "three_class": PROBABILITIES}


@dataclass(frozen=True)
class TrainingJob:
    """One model to be trained; small, picklable, idempotent.

    Attributes
    ----------
    job_id, model_id
        Of the run's tables; neither changes the result.
    route
        ``cross_sectional`` (all symbols pooled) or ``symbol_specific``.
    symbol
        The one symbol whose rows are used; None for all.
    features
        Factors in the order in which the model gets them.
    parameters
        Whole parameter block of the family.
    threads
        Of the numeric libraries; the result does not depend on it.
    stage
        ``cpu`` or ``gpu``.
    splits
        The splits as JSON; see ``Splits.from_dict``.
    learning_target
        Scale of a regression's target; computed over whole cross-sections, also for a
        job of one symbol.
    feature_scale
        ``rank`` (normal scores within the bar, over whole cross-sections) or ``raw``.
    """

    job_id: str
    model_id: str
    target: str
    task: str
    family: str
    route: str
    symbol: str | None
    features: tuple[str, ...]
    parameters: Mapping[str, Any] = field(hash=False)
    seed: int
    threads: int
    stage: str
    panel: PanelHandle
    features_table: TableHandle
    labels_table: TableHandle
    splits: Mapping[str, Any] = field(hash=False)
    store_root: str
    learning_target: str
    feature_scale: str
    max_train_rows: int

    @property
    def key(self) -> str:
        """Key of the result in the model store: all that the result depends on."""
        return content_key(
            {
                "panel": self.panel.sha256,
                "features_table": self.features_table.sha256,
                "labels_table": self.labels_table.sha256,
                "splits": self.splits,
                "target": self.target,
                "task": self.task,
                "family": self.family,
                "symbol": self.symbol,
                "features": self.features,
                "parameters": self.parameters,
                "seed": self.seed,
                "learning_target": self.learning_target,
                "feature_scale": self.feature_scale,
                "max_train_rows": self.max_train_rows,
            }
            | self._own_loss
        )

    @property
    def _own_loss(self) -> dict[str, str]:
        """Source of a loss of the user's own, which the key must follow."""
        loss = str(self.parameters.get("regression_loss", ""))
        return {"loss_source": module_digest(loss)} if ":" in loss else {}


def run_training_job(job: TrainingJob) -> dict[str, Any]:
    """Train a model, predict, and store both; a finished entry is reused.

    Returns
    -------
    dict
        ``key``, ``model_id``, ``reused``, ``n_rows`` (training rows), ``train_first``
        and ``train_last`` (ISO), ``sha256`` (of the predictions), ``network`` and
        ``loss``.

    Raises
    ------
    UserError
        When data changed since the job was made, or hold no rows to learn from.
    """
    store, key = ModelStore(Path(job.store_root)), job.key
    entry = store.find(key)
    reused = entry is not None
    if entry is None:
        entry = _train(job, store, key)
    return {
        "key": key,
        "model_id": job.model_id,
        "reused": reused,
        "sha256": entry.files[PREDICTIONS],
        **{k: entry.facts[k] for k in ("n_rows", "train_first", "train_last")},
        **{k: entry.facts[k] for k in ("network", "loss")},
    }


def train(jobs: Sequence[TrainingJob], stage: str, how: JobsConfig) -> list[Any]:
    """Run jobs over workers, with a progress bar; see :func:`run_jobs`.

    GPU jobs that use a device run one after the other in this process, since a device
    serves one at a time; on a CPU they are spread like any other.

    Parameters
    ----------
    jobs
    stage
        ``cpu`` or ``gpu``, in any case; also the label of the bar.
    how

    Returns
    -------
    list of dict
        One per job in the order of ``jobs``: the fields of its ``Outcome`` that do not
        depend on where it ran, and its ``job_id``.
    """
    from tqdm import tqdm

    ModelStore(Path(how.store)).sweep()
    workers, threads = how.resolved()
    alone = any(job.parameters.get("device", "cpu") != "cpu" for job in jobs)
    ended: dict[str, Outcome] = {}
    with tqdm(total=len(jobs), desc=f"{stage} models", disable=not jobs) as bar:
        for job_id, outcome in run_jobs(
            jobs,
            run_training_job,
            engine="serial" if alone else how.engine,
            workers=workers,
            threads=threads,
            ledger=Path(how.store) / "ledger",
            max_attempts=how.max_attempts,
            address=how.address,
        ):
            ended[job_id] = outcome
            bar.update()
    return [_lasting(job.job_id, ended[job.job_id]) for job in jobs]


def _lasting(job_id: str, outcome: Outcome) -> dict[str, Any]:
    value = outcome.value
    if value is not None:
        value = {name: fact for name, fact in value.items() if name != "reused"}
    status, error = outcome.status, outcome.error
    return {"job_id": job_id, "status": status, "error": error, "value": value}


def _train(job: TrainingJob, store: ModelStore, key: str) -> Entry:
    rows = _rows(job)
    splits = Splits.from_dict(job.splits)
    train = _block(rows, splits, "train", job)
    known = {"train": (train.bars, train.label_end)}
    splits.verify(rows.panel.timestamps, known)
    validation = _block(rows, splits, "validation", job, required=False)
    train = thin(train, job.max_train_rows)
    model = registry.create(job.family, job.parameters, job.seed, job.threads)
    model.fit(train, validation if len(validation) else None)
    scored = rows.take(rows.bars >= splits.validation.first_bar)
    output = model.predict(scored)

    def fill(folder: Path) -> None:
        model.save(folder)
        write_table(prediction_table(scored, output), folder / PREDICTIONS)

    return store.write(key, fill, _facts(job, model, train))


def _block(
    rows: Samples, splits: Splits, name: str, job: TrainingJob, *, required: bool = True
) -> Samples:
    """Labelled rows of a block whose labels end inside it."""
    block = rows.take(splits.mask(name, rows.bars, rows.label_end)).labelled()
    if required and not len(block):
        of = "" if job.symbol is None else f" of {job.symbol}"
        raise UserError(f"{job.target}: the {name} block has no labelled row{of}.")
    return block


def _rows(job: TrainingJob) -> Samples:
    rows = _samples(
        panel=job.panel,
        features=job.features_table,
        labels=job.labels_table,
        target=job.target,
        task=job.task,
        names=job.features,
        kind=job.learning_target,
        scale=job.feature_scale,
    )
    if job.symbol is None:
        return rows
    if job.symbol not in rows.panel.symbols:
        raise UserError(f"job {job.job_id}: symbol {job.symbol!r} is not in the panel.")
    return rows.take(rows.symbols == rows.panel.symbols.index(job.symbol))


@lru_cache(maxsize=2)
def _samples(
    *,
    panel: PanelHandle,
    features: TableHandle,
    labels: TableHandle,
    target: str,
    task: str,
    names: tuple[str, ...],
    kind: str,
    scale: str,
) -> Samples:
    """Rows of a target; kept, because a worker's next job often asks for the same."""
    key = ["timestamp", "symbol"]
    samples = assemble(
        _panel(panel),
        features.read([*key, *names]),
        labels.read([*key, target, f"{target}__end"]),
        target,
        task,
        names,
        kind=kind,
    )
    if scale == "raw":
        return samples
    ranks = feature_ranks(samples.features, samples.bars)
    return replace(samples, features=normal_scores(ranks))


@lru_cache(maxsize=1)
def _panel(handle: PanelHandle) -> Any:
    return handle.read()


def thin(rows: Samples, max_rows: int) -> Samples:
    """At most about ``max_rows`` rows: whole cross-sections, evenly spread in time.

    Rows of one bar say much the same; what many bars say is kept.
    """
    if len(rows) <= max_rows:
        return rows
    bars = np.unique(rows.bars)
    n_kept = max(1, int(len(bars) * max_rows / len(rows)))
    places = ((np.arange(n_kept) + 0.5) * len(bars) / n_kept).astype(np.intp)
    return rows.take(np.isin(rows.bars, bars[places]))


def prediction_table(rows: Samples, output: PredictionOutput) -> pd.DataFrame:
    """Timestamp, symbol, score and the three probabilities of scored rows.

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
    frame = pd.DataFrame(table)
    scored: pd.DataFrame = frame[np.isfinite(frame["score"])]
    return scored.reset_index(drop=True)


def _facts(job: TrainingJob, model: BaseModel, train: Samples) -> dict[str, Any]:
    stamps = np.datetime_as_string(
        train.panel.timestamps[train.bars[[0, -1]]], unit="s"
    )
    importance = model.importance()
    loss = str(getattr(model.config, "regression_loss", ""))
    return {
        "family": job.family,
        "parameters": dict(job.parameters),
        "seed": job.seed,
        "target": job.target,
        "task": job.task,
        "symbol": job.symbol,
        "features": list(job.features),
        "learning_target": job.learning_target,
        "feature_scale": job.feature_scale,
        "n_rows": len(train),
        "train_first": f"{stamps[0]}Z",
        "train_last": f"{stamps[1]}Z",
        "network": job.family if job.stage == "gpu" else "",
        "loss": loss if job.task == "regression" else "",
        "importance": None if importance is None else importance.tolist(),
        "history": model.history(),
    }
