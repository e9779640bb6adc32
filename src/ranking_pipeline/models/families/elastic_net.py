"""Elastic net: a linear model that shrinks and drops features (Zou and Hastie, 2005)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from ranking_pipeline.config import Config
from ranking_pipeline.errors import UserError
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

_MAX_SWEEPS, _TOLERANCE = 20_000, 1e-9


class ElasticNetConfig(LinearConfig):
    """Parameters of the elastic_net family."""

    l1_share: float = Field(
        ge=0,
        le=1,
        description="how much of the penalty is on absolute coefficients: 0 = ridge, "
        "1 = lasso",
    )


@register
class ElasticNetModel(LinearModel):
    r"""Least squares with a penalty on squares and one on absolute values.

    Minimised is 1/2 sum w (y - x b)² + a p |b|₁ + 1/2 (1 - a) q |b|², with a the
    ``l1_share``. Both penalties are a prior on the coefficients, of the variance with
    which F features explain ``expected_r2`` of the target's variance s²: a normal one
    gives q = F (1 - r2) / r2, as in ridge, and a double exponential one (Tibshirani,
    1996) gives p = sqrt(2 F / r2) (1 - r2) s. Both are sums over rows: a feature is
    dropped when its product with the residual is below a p, which grows in rows.

    Coefficients come one after the other, in turns (Friedman, Hastie and Tibshirani,
    2010), from products of features that are summed up once. Classes are learned as
    indicators, as in ridge.
    """

    family: ClassVar[str] = "elastic_net"
    description: ClassVar[str] = "elastic net, linear probability for classes"
    tasks: ClassVar[frozenset[str]] = TASKS
    config_type: ClassVar[type[Config]] = ElasticNetConfig

    def fit(self, train: Samples, validation: Samples | None) -> None:
        """Descend along the coefficients; ``validation`` is not needed."""
        self.check(train)
        design, outcome = self._standardise(train), outcomes(train)
        sums = normal_equations(design, outcome, train.weight)
        spread = np.sqrt(np.average((outcome - sums.offset) ** 2, 0, train.weight))
        share, r2, n = self.config.l1_share, self.config.expected_r2, len(sums.gram)
        squares = (1 - share) * self._penalty(n)
        absolute = share * np.sqrt(2 * n / r2) * (1 - r2) * spread
        coefficients = np.column_stack(
            [
                coordinate_descent(sums.gram, moment, penalty, squares)
                for moment, penalty in zip(sums.moment.T, absolute, strict=True)
            ]
        )
        self._state["coefficients"] = coefficients
        self._state["intercept"] = sums.offset - sums.centre @ coefficients


def coordinate_descent(
    gram: FloatArray, moment: FloatArray, absolute: float, squares: float
) -> FloatArray:
    """Coefficients b of 1/2 b G b - m b + absolute |b|₁ + 1/2 squares |b|².

    Parameters
    ----------
    gram, moment : ndarray, shape (F, F) and (F,)
        G and m; a feature of zero variance gets 0.
    absolute, squares : float
        The penalties.

    Raises
    ------
    UserError
        When it does not settle, as with copies of a feature and no penalty on squares.
    """
    b, product = np.zeros(len(gram)), np.zeros(len(gram))
    curvature = gram.diagonal() + squares
    told = np.flatnonzero(gram.diagonal() > 0)
    least = _TOLERANCE * float(np.abs(moment).max(initial=0.0))
    for _ in range(_MAX_SWEEPS):
        largest = 0.0
        for k in told:
            rest = moment[k] - product[k] + gram[k, k] * b[k]
            shrunk = np.sign(rest) * max(abs(rest) - absolute, 0.0) / curvature[k]
            change = shrunk - b[k]
            if change:
                b[k] = shrunk
                product += change * gram[k]
                largest = max(largest, abs(change) * curvature[k])
        if largest <= least:
            return b
    raise UserError(
        f"elastic_net did not settle in {_MAX_SWEEPS} sweeps: features are copies of one "
        "another; lower elastic_net.l1_share or elastic_net.expected_r2."
    )
