"""Boosted trees: the parameters and the promises that all libraries share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from ranking_pipeline.config import Config
from ranking_pipeline.models.base import BaseModel, PredictionOutput
from ranking_pipeline.models.classes import class_output, loss_history
from ranking_pipeline.models.rank_scale import ScoreScale
from ranking_pipeline.models.samples import Samples
from ranking_pipeline.models.tasks import CLASSES, TASKS


class RoundsConfig(Config):
    """Parameters of any boosting; a family adds how it bounds and draws a tree."""

    n_rounds: int = Field(gt=0, description="boosting rounds at most")
    learning_rate: float = Field(gt=0, le=1, description="shrinkage of each tree")
    feature_share: float = Field(gt=0, le=1, description="share of features per tree")
    patience_rounds: int = Field(
        gt=0, description="rounds without a better validation loss before stopping"
    )


class HistogramConfig(RoundsConfig):
    """Parameters of boosting on histograms of the features."""

    l2: float = Field(ge=0, description="penalty on squared leaf values")
    max_bins: int = Field(gt=1, description="histogram bins per feature")


class BoostingConfig(HistogramConfig):
    """Parameters of LightGBM and XGBoost, whatever the objective."""

    min_rows_per_leaf: int = Field(
        gt=0, description="rows per leaf; at most a twentieth of the training rows"
    )
    row_share: float = Field(gt=0, le=1, description="share of rows per tree")


class RegressionLoss(Config):
    """What a regression by boosted trees minimises; classes have their own loss."""

    objective: Literal["l2", "huber", "quantile"] = Field(
        description="l2 (the mean), huber (beyond 1.345 deviations of the target errors "
        "count linearly) or quantile (the score is that quantile)"
    )
    quantile: float = Field(
        gt=0, lt=1, description="of objective quantile; 0.5 = median"
    )


def huber_delta(rows: Samples) -> float:
    """Error from which on Huber's loss is linear, in units of the target.

    1.345 deviations: 95 % efficient on normal errors (Holland and Welsch, 1977).
    """
    spread = float(rows.target.astype(np.float64).std())
    return 1.345 * spread if spread > 0 else 1.0


@dataclass(frozen=True)
class LossNames:
    """What a library calls losses.

    Attributes
    ----------
    objectives
        Its name of ``l2``, ``huber`` and ``quantile``, and of both kinds of classes.
    huber, quantile
        The parameter that holds the error from which Huber's loss is linear, and the
        one that holds the quantile.
    """

    objectives: Mapping[str, str]
    huber: str
    quantile: str


class Boosting(BaseModel):
    """What all boosting shares: rows count by weight, and a loss for each round."""

    device: ClassVar[str] = "cpu"
    weighted: ClassVar[bool] = True

    # Loss of each round by the names of the rows and of the loss; not kept in files.
    _curve: Mapping[str, Mapping[str, list[float]]] = {}

    def history(self) -> list[dict[str, float]]:
        """Give the validation loss per round."""
        return loss_history(self._curve)


class BoostedTrees(Boosting):
    """What boosted trees share whose library keeps them, whatever the objective."""

    _booster: Any
    _scale: ScoreScale | None = None  # of objectives that only rank

    def contributions(self, rows: Samples) -> npt.NDArray[np.float32]:
        """TreeSHAP values (Lundberg et al., 2020), shape (n, F)."""
        shares = self._shares(rows).reshape(len(rows), -1, rows.features.shape[1] + 1)
        total = shares[:, -1] - (shares[:, 0] if shares.shape[1] > 1 else 0)
        slope = 1.0 if self._scale is None else self._scale.slope
        return np.asarray(total[:, :-1] * np.float32(slope))

    def _save_scale(self, folder: Path) -> None:
        if self._scale is not None:
            self._scale.save(folder)

    def _load_scale(self, folder: Path) -> None:
        if ScoreScale.exists(folder):
            self._scale = ScoreScale.load(folder)

    @abstractmethod
    def _margin(self, rows: Samples) -> npt.NDArray[Any]:
        """Output of the trees for each row; probabilities where there are classes."""

    @abstractmethod
    def _shares(self, rows: Samples) -> npt.NDArray[np.float32]:
        """TreeSHAP values of each class and its constant, shape (n, C * (F + 1))."""


class PointwiseTrees(BoostedTrees):
    """Boosted trees whose loss looks at each row by itself: returns, or classes."""

    tasks: ClassVar[frozenset[str]] = TASKS
    losses: ClassVar[LossNames]

    def predict(self, rows: Samples) -> PredictionOutput:
        """Score rows with the rounds up to the best one."""
        raw = self._margin(rows)
        if raw.ndim > 1:
            return class_output(raw)
        if self._objective() == self.losses.objectives["binary"]:
            return class_output(np.column_stack([1 - raw, raw]))
        return PredictionOutput(raw.astype(np.float32))

    def _loss(self, train: Samples) -> dict[str, Any]:
        """Objective of the library for these rows, and what it takes."""
        returns = train.task == "regression"
        kind = self.config.objective if returns else train.task
        objective = {"objective": self.losses.objectives[kind]}
        if kind == "huber":
            return {**objective, self.losses.huber: huber_delta(train)}
        if kind == "quantile":
            return {**objective, self.losses.quantile: self.config.quantile}
        if kind == "three_class":
            return {**objective, "num_class": len(CLASSES[kind])}
        return objective

    @abstractmethod
    def _objective(self) -> str:
        """Objective that the booster was trained with, as its library calls it."""
