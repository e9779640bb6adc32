"""BaseModel: what every model family can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from ranking_pipeline.config import Config
from ranking_pipeline.errors import UserError
from ranking_pipeline.models.samples import Samples
from ranking_pipeline.models.tasks import CLASSES


@dataclass(frozen=True)
class PredictionOutput:
    """Scores of rows, and class probabilities where the family has them.

    Attributes
    ----------
    score : ndarray of float32, shape (n,)
        Higher means a higher expected payoff: the prediction itself for a regression,
        P(1) for two classes, P(+1) - P(-1) for three. Where the objective only ranks
        (lightgbm_rank, xgboost_rank, networks with a ranking loss) the scores of one
        bar can be compared with each other, not with those of other bars; they are on
        the scale of the learning target, so that they can be averaged with others.
    probabilities : ndarray of float32, shape (n, C), or None
        Columns in ascending order of the class.
    """

    score: npt.NDArray[np.float32]
    probabilities: npt.NDArray[np.float32] | None = None

    @property
    def classes(self) -> npt.NDArray[np.float32] | None:
        """Most probable class of each row, shape (n,), or None without classes.

        One of -1, 0, 1 for three classes and of 0, 1 for two; the lower class where two
        are as probable; NaN where the row has no probabilities.
        """
        if self.probabilities is None:
            return None
        known = np.isfinite(self.probabilities).all(axis=1)
        lowest = -1 if self.probabilities.shape[1] == 3 else 0
        best = self.probabilities.argmax(axis=1) + lowest
        return np.where(known, best, np.nan).astype(np.float32)


class BaseModel(ABC):
    """One fitted or unfitted model of a family.

    A family subclasses this, declares the class attributes, and is registered by
    :func:`ranking_pipeline.models.registry.register`.
    """

    family: ClassVar[str]
    description: ClassVar[str]
    device: ClassVar[str]  # "cpu" or "gpu": the training stage to which it belongs
    tasks: ClassVar[frozenset[str]]
    sequence: ClassVar[bool] = False  # learns from windows of bars, not from factors
    weighted: ClassVar[bool] = False  # a fit counts each row by its weight
    ranks: ClassVar[bool] = False  # learns nothing but the order of a bar's names
    multi_target: ClassVar[bool] = False  # learns several targets at once
    experimental: ClassVar[bool] = False  # to be tried, not to be relied on
    extra: ClassVar[str] = ""  # of ranking_pipeline: installs the packages it needs
    config_type: ClassVar[type[Config]]

    def __init__(self, config: Config, *, seed: int, threads: int) -> None:
        self.config: Any = config
        self.seed = seed
        self.threads = threads

    @abstractmethod
    def fit(self, train: Samples, validation: Samples | None) -> None:
        """Learn from labelled rows; ``validation`` serves early stopping only."""

    @abstractmethod
    def predict(self, rows: Samples) -> PredictionOutput:
        """Score rows; their targets are not looked at."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write the fitted model into ``folder`` in a format that cannot run code."""

    @classmethod
    @abstractmethod
    def load(cls, folder: Path, config: Config, *, seed: int, threads: int) -> Self:
        """Read what :meth:`save` wrote."""

    def importance(self) -> npt.NDArray[np.float64] | None:
        """Give the native importance per feature, summing to one; None: it has none."""
        return None

    def contributions(self, rows: Samples) -> npt.NDArray[np.float32] | None:
        """Share each row's score out among the features, shape (n, F), or None.

        On the scale of the raw score: log-odds for classes (the difference between the
        log-odds of +1 and of -1 for three).
        """
        return None

    def history(self) -> list[dict[str, float]]:
        """Give one row per epoch or round, for learning curves; may be empty."""
        return []

    def check(self, train: Samples) -> None:
        """Refuse rows from which nothing can be learned, naming every fault at once.

        Raises
        ------
        UserError
            For an unsuitable task, no rows, no features, unknown targets, labels that
            are no class of the task, infinite features, weights that are no weights, or
            any weights where the family does not weigh rows, which would be ignored in
            silence. A NaN feature is allowed: it means "not yet known".
        """
        faults = []
        if train.task not in self.tasks:
            faults.append(f"task {train.task!r} is not one of {sorted(self.tasks)}")
        if len(train) == 0:
            faults.append("there are no labelled rows")
        if not self.sequence and not train.feature_names:
            faults.append("there are no features")
        if train.weight is not None and not self.weighted:
            faults.append(
                "it does not weigh rows: set model_training.sample_weights to none, or "
                f"leave {self.family} out of the list of families"
            )
        faults += [*_target_faults(train), *_value_faults(train)]
        if faults:
            raise UserError(f"{self.family} cannot be fitted: " + "; ".join(faults))


def _target_faults(train: Samples) -> Iterator[str]:
    known = np.isfinite(train.target)
    if not known.all():
        yield "some targets are not known; pass rows.labelled()"
    classes = CLASSES.get(train.task)
    if classes is not None:
        strange = np.setdiff1d(train.target[known], np.array(classes))
        if len(strange):
            yield f"labels {strange[:5].tolist()} are none of the classes {classes}"


def _value_faults(train: Samples) -> Iterator[str]:
    infinite = np.isinf(train.features).any(axis=0)
    if infinite.any():
        named = [train.feature_names[k] for k in np.flatnonzero(infinite)]
        yield f"features with infinite values: {', '.join(named)}"
    if train.weight is not None and len(train):
        weight = train.weight
        if not (np.isfinite(weight).all() and (weight >= 0).all() and weight.any()):
            yield "weights are to be finite, at least 0, and not all 0"
