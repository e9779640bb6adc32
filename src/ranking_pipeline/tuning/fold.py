"""Fold job: one fit of a family's parameters, judged on the bars of one fold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ranking_pipeline.cache.entries import EntryStore
from ranking_pipeline.cache.origin import code_of
from ranking_pipeline.errors import UserError
from ranking_pipeline.evaluation.measure import fill_with_median
from ranking_pipeline.evaluation.metrics import auc_skill, rank_ic
from ranking_pipeline.models.samples import Samples
from ranking_pipeline.panel import to_cross_sections
from ranking_pipeline.storage import number_or_null, sha256_json
from ranking_pipeline.training.fit import fitted
from ranking_pipeline.training.job import TrainingJob
from ranking_pipeline.training.rows import EVERY_ROW, training_rows
from ranking_pipeline.tuning.fold_windows import FoldWindow

Series = npt.NDArray[np.float64]


@dataclass(frozen=True)
class FoldJob:
    """Fit parameters on a window and measure them on its bars.

    Attributes
    ----------
    job_id
        Of the run; it does not change the result.
    training
        The fit; its window is that of ``fold``.
    fold
    min_symbols, min_per_class
        What makes a bar measurable.
    store
        Folder in which finished jobs are kept.
    """

    job_id: str
    training: TrainingJob
    fold: FoldWindow
    min_symbols: int
    min_per_class: int
    store: str

    @property
    def key(self) -> str:
        """Key of the result: all that it depends on."""
        return sha256_json(
            {
                **self.training.made_from,
                "known_by": self.fold.known_by,
                "min_symbols": self.min_symbols,
                "min_per_class": self.min_per_class,
                "code": code_of(__name__),
            }
        )


def run_fold(job: FoldJob) -> dict[str, Any]:
    """Give the skill per bar of a fold; a finished job is not fitted again.

    Returns
    -------
    dict
        ``skill``, one number per bar of the fold, None where it cannot be measured, and
        ``reused``.
    """
    store, key = EntryStore(Path(job.store)), job.key
    entry = store.find(key)
    if entry is not None:
        return {"skill": entry.facts["skill"], "reused": True}
    skill = to_nulls(fold_skill(job))
    store.write(key, lambda folder: None, {"skill": skill})
    return {"skill": skill, "reused": False}


def from_nulls(values: Sequence[float | None]) -> Series:
    """Read a series as JSON has it."""
    return np.array([np.nan if x is None else x for x in values], dtype=np.float64)


def to_nulls(values: Series) -> list[float | None]:
    """Give a series as JSON can have it."""
    return [number_or_null(value) for value in values.tolist()]


def fold_skill(job: FoldJob) -> Series:
    """Rank IC per bar for a regression, 2 AUC - 1 for classes; shape (bars of the fold,).

    All parameters are measured on the same rows: a labelled row without a score gets
    the median of its bar.

    Raises
    ------
    UserError
        When the window has too few rows to fit.
    """
    rows, window = training_rows(job.training), job.fold.window
    if len(rows.fit) < window.min_rows:
        raise UserError(
            f"tuning: {len(rows.fit)} labelled rows before {window.predict_start}, fewer "
            f"than model_training.walk_forward.min_train_rows {window.min_rows}; use "
            "fewer folds or more bars"
        )
    training = job.training
    score = fitted(training, rows).predict(rows.scored).score
    told = _sections(rows.scored, score, job.fold)
    truth = judged_rows(training, job.fold)
    outcome = _sections(truth, truth.target, job.fold)
    told = fill_with_median(told, np.isfinite(outcome))
    if training.task == "regression":
        return rank_ic(told, outcome, job.min_symbols)
    negative = -1 if training.task == "three_class" else 0
    return auc_skill(told, outcome, job.min_per_class, negative)


def judged_rows(job: TrainingJob, fold: FoldWindow) -> Samples:
    """Rows of a fold with their raw labels, where those are known in time.

    Only labelled rows of the train block are looked at, whatever the fold.
    """
    rows = _train_block(
        replace(
            job,
            job_id="",
            model_id="",
            parameters={},
            seed=0,
            window=None,
            learning_target="raw",
            sample_weights="none",
            max_train_rows=EVERY_ROW,
        )
    )
    inside = (rows.bars >= fold.first_bar) & (rows.bars <= fold.last_bar)
    return rows.take(inside & (rows.label_end <= fold.known_by))


@lru_cache(maxsize=2)
def _train_block(job: TrainingJob) -> Samples:
    """Labelled rows of the train block, without features; kept for the next fold."""
    rows = training_rows(job).fit
    return replace(rows, features=rows.features[:, :0].copy(), feature_names=())


def _sections(rows: Samples, values: npt.NDArray[Any], fold: FoldWindow) -> Series:
    shape = (fold.last_bar - fold.first_bar + 1, rows.shape[1])
    return to_cross_sections(values, rows.bars - fold.first_bar, rows.symbols, shape)
