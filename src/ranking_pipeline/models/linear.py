"""Linear models: standardised features, coefficients, and the file they share."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field

from ranking_pipeline.models.array_model import ArrayModel
from ranking_pipeline.models.base import PredictionOutput
from ranking_pipeline.models.classes import class_output, encode, normalised
from ranking_pipeline.models.samples import Samples
from ranking_pipeline.models.standardise import (
    ClippedConfig,
    FloatArray,
    column_moments,
    standardised,
)
from ranking_pipeline.models.tasks import CLASSES


class LinearConfig(ClippedConfig):
    """Parameters of linear models."""

    expected_r2: float = Field(
        gt=0,
        lt=1,
        description="share of the target's variance that all features together are "
        "expected to explain; sets the penalty F (1 - r2) / r2",
    )


class StandardisedModel(ArrayModel):
    """What models on standardised features share: clipped, and 0 (the mean) where NaN.

    ``_state`` holds the ``mean`` and ``scale`` of each feature.
    """

    device: ClassVar[str] = "cpu"

    _state: dict[str, FloatArray]

    def _standardise(self, train: Samples) -> FloatArray:
        """Learn the standardisation of the rows, and apply it."""
        mean, scale = column_moments(train.features, train.weight)
        self._state = {"mean": mean, "scale": scale}
        return self._design(train.features)

    def _design(self, features: npt.NDArray[np.float32]) -> FloatArray:
        mean, scale = self._state["mean"], self._state["scale"]
        return standardised(features, mean, scale, self.config.clip_sigma)


class LinearModel(StandardisedModel):
    """Linear in standardised features.

    The penalty is that of the Bayesian reading: with F features and a prior R² of r2,
    noise variance over coefficient variance is F (1 - r2) / r2. It is a sum over rows,
    so that few rows shrink much and many hardly.
    """

    weighted: ClassVar[bool] = True

    def predict(self, rows: Samples) -> PredictionOutput:
        """Score rows; each row's score depends on that row alone, to the last bit.

        Classes that were learned as indicators, one least squares each (the linear
        probability model): the score is the unclipped estimate of P(1), or of
        P(+1) - P(-1); the probabilities are clipped and normalised.
        """
        raw = self._raw(rows)
        if raw.shape[1] == 1:
            return PredictionOutput(raw[:, 0].astype(np.float32))
        clipped = np.clip(raw, 1e-6, 1.0)
        output = class_output(clipped / clipped.sum(axis=1, keepdims=True))
        return PredictionOutput(class_output(raw).score, output.probabilities)

    def importance(self) -> FloatArray:
        """Share of each feature in the sum of absolute standardised coefficients."""
        return normalised(np.abs(self._slope()))

    def contributions(self, rows: Samples) -> npt.NDArray[np.float32]:
        """Coefficient times standardised feature: the SHAP values of a linear model."""
        return (self._design(rows.features) * self._slope()).astype(np.float32)

    def _slope(self) -> FloatArray:
        """Coefficients of the score."""
        c = self._state["coefficients"]
        return c[:, -1] if c.shape[1] < 3 else c[:, -1] - c[:, 0]

    def _raw(self, rows: Samples) -> FloatArray:
        coefficients = self._state["coefficients"]
        # Not a matrix product: its last bits would depend on the number of rows.
        raw = np.einsum("nf,fc->nc", self._design(rows.features), coefficients)
        return np.asarray(raw + self._state["intercept"])

    def _penalty(self, n_features: int) -> float:
        r2 = self.config.expected_r2
        return float(n_features * (1 - r2) / r2)


class NormalEquations(NamedTuple):
    """Sums over rows that least squares needs, centred.

    Attributes
    ----------
    gram : ndarray, shape (F, F)
    moment : ndarray, shape (F, C)
        Products of the features with what is regressed.
    centre, offset : ndarray, shape (F,) and (C,)
        The means.
    """

    gram: FloatArray
    moment: FloatArray
    centre: FloatArray
    offset: FloatArray


def normal_equations(
    design: FloatArray, outcome: FloatArray, weight: npt.NDArray[np.floating] | None
) -> NormalEquations:
    """Sum up rows, each ``weight`` times; on one thread, whatever the job has."""
    from threadpoolctl import threadpool_limits

    # One thread: a parallel product would depend on the number of threads.
    with threadpool_limits(1):
        if weight is None:
            total, weighted = float(len(design)), design
            offset, centre = outcome.mean(axis=0), design.mean(axis=0)
        else:
            w = weight.astype(np.float64)
            total, weighted = w.sum(), design * w[:, None]
            offset, centre = w @ outcome / total, weighted.sum(axis=0) / total
        gram = weighted.T @ design - total * np.outer(centre, centre)
        return NormalEquations(gram, weighted.T @ (outcome - offset), centre, offset)


def outcomes(rows: Samples) -> FloatArray:
    """Give what is regressed, (n, 1) or (n, C): target or class indicators."""
    if rows.task == "regression":
        return rows.target.astype(np.float64)[:, None]
    return np.eye(len(CLASSES[rows.task]))[encode(rows.target, rows.task)]
