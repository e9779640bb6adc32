"""Extra trees: forests of random splits (Geurts, Ernst and Wehenkel, 2006)."""

from __future__ import annotations

from typing import Any, ClassVar

from ranking_pipeline.models.forest import Forest
from ranking_pipeline.models.registry import register


@register
class ExtraTreesModel(Forest):
    """Trees that draw one threshold per feature at random and keep the best of these.

    Trees are more alike in what they miss and less in what they overfit than those of a
    random forest. Each draws rows as there, where the authors give it all: a weight is
    then a chance, and a fit costs the same for any number of rows.
    """

    family: ClassVar[str] = "extra_trees"
    description: ClassVar[str] = "forest of random splits (scikit-learn)"

    @staticmethod
    def _kinds() -> tuple[type[Any], type[Any]]:
        from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor

        return ExtraTreesRegressor, ExtraTreesClassifier
