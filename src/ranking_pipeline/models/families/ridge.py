"""Ridge: a linear model shrunk by what the features can be expected to explain."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ranking_pipeline.config import Config
from ranking_pipeline.models.linear import (
    LinearConfig,
    LinearModel,
    normal_equations,
    outcomes,
)
from ranking_pipeline.models.registry import register
from ranking_pipeline.models.samples import Samples
from ranking_pipeline.models.standardise import FloatArray
from ranking_pipeline.models.tasks import TASKS


class RidgeConfig(LinearConfig):
    """Parameters of the ridge family."""


@register
class RidgeModel(LinearModel):
    """Ridge regression on standardised features (Hoerl and Kennard, 1970).

    Classes are learned as indicators, one least squares each: the score of three is
    the regression on the class itself.
    """

    family: ClassVar[str] = "ridge"
    description: ClassVar[str] = "ridge regression, linear probability for classes"
    tasks: ClassVar[frozenset[str]] = TASKS
    config_type: ClassVar[type[Config]] = RidgeConfig

    def fit(self, train: Samples, validation: Samples | None) -> None:
        """Solve the penalised normal equations; ``validation`` is not needed."""
        from threadpoolctl import threadpool_limits

        self.check(train)
        design = self._standardise(train)
        sums = normal_equations(design, outcomes(train), train.weight)
        gram = sums.gram
        gram.flat[:: len(gram) + 1] += self._penalty(len(gram))
        with threadpool_limits(1):
            solution = np.linalg.solve(gram, sums.moment)
        coefficients: FloatArray = np.asarray(solution, dtype=np.float64)
        self._state["coefficients"] = coefficients
        self._state["intercept"] = sums.offset - sums.centre @ coefficients
