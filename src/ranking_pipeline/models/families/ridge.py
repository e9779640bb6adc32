"""Ridge: a linear model shrunk by what the features can be expected to explain."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field

from ranking_pipeline.config import Config
from ranking_pipeline.models.base import BaseModel, PredictionOutput
from ranking_pipeline.models.classes import CLASSES, class_output, encode, normalised
from ranking_pipeline.models.registry import register
from ranking_pipeline.models.samples import Samples

_FILE = "model.safetensors"
FloatArray = npt.NDArray[np.float64]


class RidgeConfig(Config):
    """Parameters of the ridge family."""

    expected_r2: float = Field(
        gt=0,
        lt=1,
        description="share of the target's variance that all features together are "
        "expected to explain; sets the penalty F (1 - r2) / r2",
    )
    clip_sigma: float = Field(
        gt=0, description="standardised features are clipped at this many deviations"
    )


@register
class RidgeModel(BaseModel):
    """Ridge regression on standardised features (Hoerl and Kennard, 1970).

    Features are standardised by the training rows, clipped, and 0 (the mean) where NaN.
    The penalty is that of the Bayesian reading: with F features and a prior R² of r2,
    noise variance over coefficient variance is F (1 - r2) / r2. It is a sum over rows,
    so that few rows shrink much and many hardly.

    Classes are learned as indicators, one least squares each (the linear probability
    model): the score is the unclipped estimate of P(1), or of P(+1) - P(-1), which is
    the regression on the class itself; the probabilities are clipped and normalised.
    """

    family: ClassVar[str] = "ridge"
    description: ClassVar[str] = "ridge regression, linear probability for classes"
    device: ClassVar[str] = "cpu"
    tasks: ClassVar[frozenset[str]] = frozenset({"regression", *CLASSES})
    config_type: ClassVar[type[Config]] = RidgeConfig

    _state: dict[str, npt.NDArray[np.float64]]

    def fit(self, train: Samples, validation: Samples | None) -> None:
        """Solve the penalised normal equations; ``validation`` is not needed."""
        from threadpoolctl import threadpool_limits

        self.check(train)
        mean, scale = _moments(train.features)
        self._state = {"mean": mean, "scale": scale}
        design, outcome = self._design(train.features), _outcomes(train)
        offset, centre = outcome.mean(axis=0), design.mean(axis=0)
        # One thread: a parallel product would depend on the number of threads.
        with threadpool_limits(1):
            gram = design.T @ design - len(design) * np.outer(centre, centre)
            moment = design.T @ (outcome - offset)
            gram.flat[:: len(gram) + 1] += self._penalty(len(gram))
            coefficients = np.linalg.solve(gram, moment)
        self._state["coefficients"] = coefficients
        self._state["intercept"] = offset - centre @ coefficients

    def predict(self, rows: Samples) -> PredictionOutput:
        """Score rows; each row's score depends on that row alone, to the last bit."""
        design = self._design(rows.features)
        coefficients = self._state["coefficients"]
        # Not a matrix product: its last bits would depend on the number of rows.
        raw = np.einsum("nf,fc->nc", design, coefficients) + self._state["intercept"]
        if raw.shape[1] == 1:
            return PredictionOutput(raw[:, 0].astype(np.float32))
        clipped = np.clip(raw, 1e-6, 1.0)
        output = class_output(clipped / clipped.sum(axis=1, keepdims=True))
        return PredictionOutput(class_output(raw).score, output.probabilities)

    def save(self, folder: Path) -> None:
        """Write the coefficients and the standardisation as safetensors."""
        from safetensors.numpy import save_file

        state = {name: np.ascontiguousarray(v) for name, v in self._state.items()}
        save_file(state, folder / _FILE)

    @classmethod
    def load(cls, folder: Path, config: Config, *, seed: int, threads: int) -> Self:
        """Read what :meth:`save` wrote."""
        from safetensors.numpy import load_file

        model = cls(config, seed=seed, threads=threads)
        model._state = load_file(folder / _FILE)
        return model

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

    def _penalty(self, n_features: int) -> float:
        r2 = self.config.expected_r2
        return float(n_features * (1 - r2) / r2)

    def _design(self, features: npt.NDArray[np.float32]) -> FloatArray:
        z = (features.astype(np.float64) - self._state["mean"]) * self._state["scale"]
        z.clip(-self.config.clip_sigma, self.config.clip_sigma, out=z)
        return np.nan_to_num(z, copy=False, nan=0.0)


def _moments(features: npt.NDArray[np.float32]) -> tuple[FloatArray, FloatArray]:
    """Mean and reciprocal deviation per column; 0 and 0 where a column says nothing."""
    known = np.isfinite(features)
    count = np.maximum(known.sum(axis=0), 1)
    values = np.where(known, features, 0).astype(np.float64)
    mean = values.sum(axis=0) / count
    spread = np.sqrt((np.where(known, values - mean, 0.0) ** 2).sum(axis=0) / count)
    told = spread > 1e-12 * np.maximum(1.0, np.abs(mean))
    return mean, np.divide(1.0, spread, out=np.zeros_like(spread), where=told)


def _outcomes(rows: Samples) -> FloatArray:
    """Give what is regressed, (n, 1) or (n, C): target or class indicators."""
    if rows.task == "regression":
        return rows.target.astype(np.float64)[:, None]
    return np.eye(len(CLASSES[rows.task]))[encode(rows.target, rows.task)]
