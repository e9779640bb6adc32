"""Forests: averaged trees on row subsamples, by scikit-learn."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field

from ranking_pipeline.config import Config
from ranking_pipeline.models import forest_file
from ranking_pipeline.models.base import BaseModel, PredictionOutput
from ranking_pipeline.models.classes import (
    all_classes,
    class_output,
    label,
    leaf_size,
    normalised,
)
from ranking_pipeline.models.samples import Samples
from ranking_pipeline.models.tasks import TASKS

_FILE = "model.skops"


class ForestConfig(Config):
    """Parameters of forests."""

    n_trees: int = Field(gt=0, description="trees in the forest")
    max_depth: int = Field(gt=0, description="depth of each tree at most")
    min_rows_per_leaf: int = Field(
        gt=0, description="rows per leaf; at most a twentieth of a tree's rows"
    )
    rows_per_tree: int = Field(
        gt=1, description="rows drawn with replacement for each tree at most"
    )
    feature_share: float = Field(gt=0, le=1, description="share of features per split")


class Forest(BaseModel):
    """Averaged trees; NaN features go to the better side of a split.

    Weights are chances of being drawn: a tree sees a row of weight 2 twice as often.
    """

    device: ClassVar[str] = "cpu"
    weighted: ClassVar[bool] = True
    tasks: ClassVar[frozenset[str]] = TASKS
    config_type: ClassVar[type[Config]] = ForestConfig

    _forest: Any

    @staticmethod
    @abstractmethod
    def _kinds() -> tuple[type[Any], type[Any]]:
        """Classes of scikit-learn for a regression and for classes."""

    def fit(self, train: Samples, validation: Samples | None) -> None:
        """Grow the trees; ``validation`` is not needed."""
        self.check(train)
        config = self.config
        rows = min(config.rows_per_tree, len(train))
        regressor, classifier = self._kinds()
        kind = regressor if train.task == "regression" else classifier
        self._forest = kind(
            n_estimators=config.n_trees,
            max_depth=config.max_depth,
            min_samples_leaf=leaf_size(config.min_rows_per_leaf, rows),
            max_features=config.feature_share,
            max_samples=rows,
            bootstrap=True,
            random_state=self.seed,
            n_jobs=self.threads,
        )
        self._forest.fit(train.features, label(train), sample_weight=train.weight)
        # The file of a model does not tell how many threads grew it.
        self._forest.set_params(n_jobs=1)

    def predict(self, rows: Samples) -> PredictionOutput:
        """Mean over the trees, added up in their order."""
        if not hasattr(self._forest, "classes_"):
            score = self._mean("predict", rows.features)
            return PredictionOutput(score.astype(np.float32))
        chances = self._mean("predict_proba", rows.features)
        return class_output(all_classes(chances, self._forest.classes_, rows.task))

    def save(self, folder: Path) -> None:
        """Write the forest by skops."""
        forest_file.write(self._forest, folder / _FILE)

    @classmethod
    def load(cls, folder: Path, config: Config, *, seed: int, threads: int) -> Self:
        """Read what :meth:`save` wrote; a type outside the allow-list is refused."""
        model = cls(config, seed=seed, threads=threads)
        model._forest = forest_file.read(folder / _FILE)
        return model

    def importance(self) -> npt.NDArray[np.float64]:
        """Share of each feature in the decrease of impurity."""
        return normalised(self._forest.feature_importances_)

    def _mean(
        self, method: str, features: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.float64]:
        """Mean of what the trees say, the first of which checks the features.

        The forest's own methods hand each tree to joblib, which costs several times
        what a tree needs for a few thousand rows, and in parallel they add the trees
        up in the order in which they finish.
        """
        first, *others = self._forest.estimators_
        total = np.array(getattr(first, method)(features), dtype=np.float64)
        for tree in others:
            total += getattr(tree, method)(features, check_input=False)
        return np.asarray(total / (1 + len(others)))
