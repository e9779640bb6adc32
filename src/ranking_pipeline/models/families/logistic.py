"""Logistic: linear log-odds of classes, shrunk like ridge."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import numpy.typing as npt

from ranking_pipeline.config import Config
from ranking_pipeline.models.base import PredictionOutput
from ranking_pipeline.models.classes import (
    class_output,
    encode,
    present_classes,
)
from ranking_pipeline.models.linear import LinearConfig, LinearModel
from ranking_pipeline.models.registry import register
from ranking_pipeline.models.samples import Samples
from ranking_pipeline.models.standardise import FloatArray
from ranking_pipeline.models.tasks import CLASSES

_LATENT_VARIANCE = np.pi**2 / 3  # of the standard logistic distribution
_NEVER = -1e3  # log-odds of a class that the rows lack


class LogisticConfig(LinearConfig):
    """Parameters of the logistic family."""


@register
class LogisticModel(LinearModel):
    """Logistic regression of two or three classes, with a penalty on squares.

    ``expected_r2`` is that of the latent variable behind the classes, whose noise has
    the variance π² / 3 (McKelvey and Zavoina, 1975): coefficients of log-odds have a
    prior variance of (π² / 3) r2 / (1 - r2) / F. Classes have coefficients each, of half
    that variance, so that the log-odds of any two have it.
    """

    family: ClassVar[str] = "logistic"
    description: ClassVar[str] = "logistic regression of classes (scikit-learn)"
    tasks: ClassVar[frozenset[str]] = frozenset(CLASSES)
    config_type: ClassVar[type[Config]] = LogisticConfig

    def fit(self, train: Samples, validation: Samples | None) -> None:
        """Solve by Newton's method; ``validation`` is not needed."""
        from sklearn.linear_model import LogisticRegression
        from threadpoolctl import threadpool_limits

        self.check(train)
        present = present_classes(train, self.family)
        design, codes = self._standardise(train), encode(train.target, train.task)
        penalty = self._penalty(design.shape[1]) / _LATENT_VARIANCE
        solver = LogisticRegression(
            C=1 / (penalty if len(present) == 2 else 2 * penalty),
            solver="newton-cholesky",
            tol=1e-6,
            max_iter=100,
        )
        # One thread: a parallel product would depend on the number of threads.
        with threadpool_limits(1):
            solver.fit(design, codes, sample_weight=train.weight)
        self._spread(present, solver.coef_, solver.intercept_, train.task)

    def predict(self, rows: Samples) -> PredictionOutput:
        """Give probabilities; each row's depend on that row alone, to the last bit."""
        odds = self._raw(rows)
        odds -= odds.max(axis=1, keepdims=True)
        chances = np.exp(odds)
        return class_output(chances / chances.sum(axis=1, keepdims=True))

    def _slope(self) -> FloatArray:
        coefficients = self._state["coefficients"]
        return coefficients[:, -1] - coefficients[:, 0]

    def _spread(
        self,
        present: npt.NDArray[np.intp],
        coefficients: FloatArray,
        intercept: FloatArray,
        task: str,
    ) -> None:
        """Give every class its coefficients, (F, C); two share theirs out by halves."""
        if len(present) == 2:
            coefficients = np.concatenate([-coefficients, coefficients]) / 2
            intercept = np.concatenate([-intercept, intercept]) / 2
        every = np.zeros((coefficients.shape[1], len(CLASSES[task])))
        every[:, present] = coefficients.T
        level = np.full(every.shape[1], _NEVER)
        level[present] = intercept
        self._state |= {"coefficients": every, "intercept": level}
