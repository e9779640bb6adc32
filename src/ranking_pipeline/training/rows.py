"""Training rows: what a job fits, what it stops early on, and what it scores."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from ranking_pipeline.errors import UserError
from ranking_pipeline.models.assemble import assemble, feature_ranks, normal_scores
from ranking_pipeline.models.learning_target import learning_target
from ranking_pipeline.models.samples import Samples
from ranking_pipeline.splits import Splits
from ranking_pipeline.storage import PanelHandle, TableHandle
from ranking_pipeline.training.job import TrainingJob
from ranking_pipeline.training.window import Window


@dataclass(frozen=True)
class TrainingRows:
    """Rows of one job.

    Attributes
    ----------
    fit : Samples
        Labelled rows to learn from; may be empty for a window.
    held_out : Samples
        Labelled rows for early stopping, decided after every fitted label is known;
        may be empty.
    scored : Samples
        Rows to predict, labelled or not.
    """

    fit: Samples
    held_out: Samples
    scored: Samples


def training_rows(job: TrainingJob) -> TrainingRows:
    """Read a job's tables and part its rows by time.

    Raises
    ------
    UserError
        When data changed since the job was made, or the train block of a job without a
        window has no labelled row.
    """
    splits = Splits.from_dict(job.splits)
    if job.window is not None:
        return _of_window(job, job.window, splits)
    rows = _own(job, _rows(job, job.learning_target))
    train = _block(rows, splits, "train")
    if not len(train):
        of = "" if job.symbol is None else f" of {job.symbol}"
        raise UserError(f"{job.target}: the train block has no labelled row{of}.")
    splits.verify(rows.panel.timestamps, {"train": (train.bars, train.label_end)})
    return TrainingRows(
        thin(train, job.max_train_rows),
        _block(rows, splits, "validation"),
        rows.take(rows.bars >= splits.validation.first_bar),
    )


def _of_window(job: TrainingJob, window: Window, splits: Splits) -> TrainingRows:
    """Rows of a window; a label known too late takes no part in its cross-section."""
    rows = _rows(job, "raw")
    splits.verify(rows.panel.timestamps)
    bars = window.bars(rows.panel.timestamps, splits.embargo_bars)
    known = bars.known(rows.bars, rows.label_end)
    values = np.where(known, rows.target, np.float32(np.nan))
    target = learning_target(values, rows.bars, job.task, job.learning_target)
    rows = _own(job, replace(rows, target=target))
    fit, held_out = bars.parted(
        rows.bars, rows.label_end, window.validation_share, splits.embargo_bars
    )
    predicted = (rows.bars >= bars.predict_first) & (rows.bars <= bars.predict_last)
    return TrainingRows(
        thin(rows.take(fit).labelled(), job.max_train_rows),
        rows.take(held_out).labelled(),
        rows.take(predicted),
    )


def _block(rows: Samples, splits: Splits, name: str) -> Samples:
    """Labelled rows of a block whose labels end inside it."""
    return rows.take(splits.mask(name, rows.bars, rows.label_end)).labelled()


def _rows(job: TrainingJob, kind: str) -> Samples:
    return samples_of(
        panel=job.panel,
        features=job.features_table,
        labels=job.labels_table,
        target=job.target,
        task=job.task,
        names=job.features,
        kind=kind,
        scale=job.feature_scale,
    )


def _own(job: TrainingJob, rows: Samples) -> Samples:
    """All rows, or those of the job's symbol."""
    if job.symbol is None:
        return rows
    if job.symbol not in rows.panel.symbols:
        raise UserError(f"job {job.job_id}: symbol {job.symbol!r} is not in the panel.")
    return rows.take(rows.symbols == rows.panel.symbols.index(job.symbol))


@lru_cache(maxsize=2)
def samples_of(
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
