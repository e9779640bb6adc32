"""Classes: labels as codes for a learner, and probabilities as a score."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ranking_pipeline.errors import UserError
from ranking_pipeline.models.base import PredictionOutput
from ranking_pipeline.models.samples import Samples
from ranking_pipeline.models.tasks import CLASSES


def encode(target: npt.NDArray[np.floating], task: str) -> npt.NDArray[np.intp]:
    """Codes 0 … C-1 of class labels, in ascending order of the class.

    Raises
    ------
    UserError
        When a label is none of the task's classes; a NaN is none.
    """
    classes = np.array(CLASSES[task], dtype=np.float64)
    codes = np.searchsorted(classes, target).clip(max=len(classes) - 1)
    wrong = classes[codes] != target
    if wrong.any():
        raise UserError(
            f"label {target[wrong][0]!r} is no class of a {task} target; "
            f"its classes are {CLASSES[task]}."
        )
    return np.asarray(codes, dtype=np.intp)


def label(rows: Samples) -> npt.NDArray[Any]:
    """Give what a learner is told: the target of a regression, or codes of classes."""
    return rows.target if rows.task == "regression" else encode(rows.target, rows.task)


def class_output(probabilities: npt.NDArray[np.floating]) -> PredictionOutput:
    """Score and probabilities of rows from probabilities of shape (n, C).

    The score is P(1) for two classes and P(+1) - P(-1) for three.
    """
    last = probabilities[:, -1]
    score = last if probabilities.shape[1] == 2 else last - probabilities[:, 0]
    return PredictionOutput(score.astype(np.float32), probabilities.astype(np.float32))


def present_classes(rows: Samples, family: str) -> npt.NDArray[np.intp]:
    """Codes of the classes that occur, for libraries that learn no others.

    Raises
    ------
    UserError
        When only one occurs.
    """
    present = np.unique(encode(rows.target, rows.task))
    if len(present) < 2:
        raise UserError(
            f"{family} cannot be fitted: all {len(rows)} rows have the class "
            f"{CLASSES[rows.task][int(present[0])]}; take more rows or another target."
        )
    return present


def all_classes(
    probabilities: npt.NDArray[np.floating], present: npt.NDArray[np.integer], task: str
) -> npt.NDArray[np.float64]:
    """Columns (n, C) of all classes of a task; 0 for one that the rows lacked."""
    every = np.zeros((len(probabilities), len(CLASSES[task])))
    every[:, present] = probabilities
    return every


def leaf_size(min_rows_per_leaf: int, n_rows: int) -> int:
    """Smallest leaf of a tree: the parameter, but at most a twentieth of the rows.

    Without the cap a setting made for a universe would leave no split to the few
    hundred rows of one symbol.
    """
    return max(1, min(min_rows_per_leaf, n_rows // 20))


def normalised(gain: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Scale importance to a sum of one; all zeros where a model made no split."""
    total = float(gain.sum())
    return np.asarray(gain, dtype=np.float64) / (total if total > 0 else 1.0)


def loss_history(
    curves: Mapping[str, Mapping[str, list[float]]], name: str = "validation_loss"
) -> list[dict[str, float]]:
    """Turn a booster's record of its validation metric into one row per round."""
    values: list[float] = next(iter(curves.get("validation", {}).values()), [])
    numbered = enumerate(values, start=1)
    return [{"round": float(k), name: value} for k, value in numbered]
