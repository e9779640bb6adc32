"""Random forest: averaged deep trees on subsamples (Breiman, 2001), by scikit-learn."""

from __future__ import annotations

from typing import Any, ClassVar

from ranking_pipeline.models.forest import Forest
from ranking_pipeline.models.registry import register


@register
class RandomForestModel(Forest):
    """Trees that take the best split of a random share of the features."""

    family: ClassVar[str] = "random_forest"
    description: ClassVar[str] = "random forest on row subsamples (scikit-learn)"

    @staticmethod
    def _kinds() -> tuple[type[Any], type[Any]]:
        from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

        return RandomForestRegressor, RandomForestClassifier
