"""Histogram boosting: leaf-wise trees by scikit-learn, kept as plain arrays."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field

from ranking_pipeline.config import Config
from ranking_pipeline.models.array_model import ArrayModel
from ranking_pipeline.models.base import PredictionOutput
from ranking_pipeline.models.boosting import Boosting, HistogramConfig
from ranking_pipeline.models.classes import (
    all_classes,
    class_output,
    encode,
    label,
    leaf_size,
    normalised,
    present_classes,
)
from ranking_pipeline.models.registry import register
from ranking_pipeline.models.samples import Samples
from ranking_pipeline.models.tasks import TASKS
from ranking_pipeline.models.tree_arrays import Tree, TreeArrays

_PRESENT = "present"


class HistBoostingConfig(HistogramConfig):
    """Parameters of the hist_boosting family."""

    max_bins: int = Field(gt=1, le=255, description="histogram bins per feature")
    feature_share: float = Field(gt=0, le=1, description="share of features per split")
    max_leaves: int = Field(gt=1, description="leaves per tree")
    min_rows_per_leaf: int = Field(
        gt=0, description="rows per leaf; at most a twentieth of the training rows"
    )


@register
class HistBoostingModel(Boosting, ArrayModel):
    """Gradient boosting on histograms, as LightGBM does it, of every row in each tree.

    The library would stop on a random part of the training rows, which overlap in time
    with the others; here it is given the validation rows, and keeps the rounds up to
    the best one. NaN features go to the better side of a split.
    """

    family: ClassVar[str] = "hist_boosting"
    description: ClassVar[str] = "gradient boosting on histograms (scikit-learn)"
    tasks: ClassVar[frozenset[str]] = TASKS
    config_type: ClassVar[type[Config]] = HistBoostingConfig

    def fit(self, train: Samples, validation: Samples | None) -> None:
        """Boost on ``train``; stop early on ``validation`` when it has rows."""
        from threadpoolctl import threadpool_limits

        self.check(train)
        present = np.zeros(0, dtype=np.intp)
        if train.task != "regression":
            present = present_classes(train, self.family)
        held_out = _held_out(validation, present)
        boosting = self._boosting(train, stops=bool(held_out))
        # The sums of a histogram depend on how many threads share it.
        with threadpool_limits(1):
            boosting.fit(
                train.features, label(train), sample_weight=train.weight, **held_out
            )
        # The first score is that of no trees at all.
        losses = [-float(score) for score in boosting.validation_score_[1:]]
        self._curve = {"validation": {"loss": losses}} if held_out else {}
        best = 1 + int(np.argmin(losses)) if held_out else boosting.n_iter_
        trees = _arrays(boosting, best, train.features.shape[1])
        self._state = {**trees.arrays(), _PRESENT: present}

    def predict(self, rows: Samples) -> PredictionOutput:
        """Score rows with the rounds up to the best one."""
        raw = TreeArrays.from_arrays(self._state).outputs(rows.features)
        present = self._state[_PRESENT]
        if not len(present):
            return PredictionOutput(raw[:, 0].astype(np.float32))
        if raw.shape[1] == 1:
            raw = np.column_stack([-raw / 2, raw / 2])
        chances = np.exp(raw - raw.max(axis=1, keepdims=True))
        chances /= chances.sum(axis=1, keepdims=True)
        return class_output(all_classes(chances, present, rows.task))

    def importance(self) -> npt.NDArray[np.float64]:
        """Share of each feature in the total gain."""
        return TreeArrays.from_arrays(self._state).importance

    def _boosting(self, train: Samples, *, stops: bool) -> Any:
        from sklearn.ensemble import (
            HistGradientBoostingClassifier,
            HistGradientBoostingRegressor,
        )

        config, regression = self.config, train.task == "regression"
        kind = (
            HistGradientBoostingRegressor
            if regression
            else HistGradientBoostingClassifier
        )
        return kind(
            max_iter=config.n_rounds,
            learning_rate=config.learning_rate,
            max_leaf_nodes=config.max_leaves,
            min_samples_leaf=leaf_size(config.min_rows_per_leaf, len(train)),
            max_features=config.feature_share,
            l2_regularization=config.l2,
            max_bins=config.max_bins,
            categorical_features=None,
            early_stopping=stops,
            n_iter_no_change=config.patience_rounds,
            tol=0.0,
            random_state=self.seed,
        )


def _held_out(
    validation: Samples | None, present: npt.NDArray[np.intp]
) -> dict[str, Any]:
    """Validation rows as the library wants them, of classes that it has seen."""
    if validation is not None and len(present):
        codes = encode(validation.target, validation.task)
        validation = validation.take(np.isin(codes, present))
    if validation is None or not len(validation):
        return {}
    return {
        "X_val": validation.features,
        "y_val": label(validation),
        "sample_weight_val": validation.weight,
    }


def _arrays(boosting: Any, n_rounds: int, n_features: int) -> TreeArrays:
    gain = np.zeros(n_features)
    trees = []
    for each in boosting._predictors[:n_rounds]:
        for nodes in (predictor.nodes for predictor in each):
            leaf = nodes["is_leaf"].astype(bool)
            np.add.at(gain, nodes["feature_idx"][~leaf], nodes["gain"][~leaf])
            own = np.arange(len(nodes))
            trees.append(
                Tree(
                    np.where(leaf, 0, nodes["feature_idx"]),
                    nodes["num_threshold"],
                    nodes["missing_go_to_left"].astype(bool),
                    np.where(leaf, own, nodes["left"]),
                    np.where(leaf, own, nodes["right"]),
                    nodes["value"],
                    int(nodes["depth"].max()),
                )
            )
    return TreeArrays.join(
        trees, boosting._baseline_prediction.ravel(), normalised(gain)
    )
