"""Optimisers: weights of one leg from the covariance of its returns, by skfolio."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt

from ranking_pipeline.errors import UserError
from ranking_pipeline.portfolio.prediction_config import WeightingConfig

EXTRA = "optimisers"
# Fewer complete days than this, or than twice the names, say little of a covariance.
_MIN_DAYS, _DAYS_PER_NAME = 30, 2
# Solvers leave dust: a weight that is written as 0.0 % is none.
_LEAST_WEIGHT = 5e-4


def require_optimiser(how: WeightingConfig) -> None:
    """Refuse a method whose optional package is not installed, before any work.

    Raises
    ------
    UserError
        One line that names the extra.
    """
    if how.is_optimised and find_spec("skfolio") is None:
        raise UserError(
            f"prediction.weighting.method {how.method!r} needs skfolio, which is not "
            f"installed: pip install 'ranking_pipeline[{EXTRA}]', or use equal, rank, "
            "score_softmax or volatility_scaled."
        )


def optimised_weights(
    returns: npt.NDArray[np.generic], how: WeightingConfig
) -> npt.NDArray[np.float64]:
    """Weigh names by an optimiser; see the table of methods.

    ``minimum_variance`` and ``mean_variance`` solve Markowitz (1952) with the sample
    mean and covariance, long only; ``risk_parity`` gives each name the same share of
    the variance (Maillard, Roncalli and Teïletche, 2010); ``hierarchical_risk_parity``
    is that of López de Prado (2016). The cap is part of the problem.

    Parameters
    ----------
    returns : ndarray of float64, shape (T, n)
        Of the bars up to the as-of bar; days on which a name has none are left out.
    how : WeightingConfig

    Returns
    -------
    ndarray of float64, shape (n,)
        At least 0, with the sum 1; none lies between 0 and 0.05 %.

    Raises
    ------
    UserError
        Without skfolio, with too few complete days, or where no solution is found.
    """
    require_optimiser(how)
    values = np.asarray(returns, dtype=np.float64)
    complete = values[np.isfinite(values).all(axis=1)]
    n = values.shape[1]
    if n == 1:
        return np.ones(1)
    needed = max(_MIN_DAYS, _DAYS_PER_NAME * n)
    if len(complete) < needed:
        raise UserError(
            f"prediction.weighting.method {how.method!r}: {n} names share {len(complete)} "
            f"days with returns, fewer than {needed}. Raise estimation_bars, lower "
            "prediction.top_n, or use another method."
        )
    try:
        found = np.asarray(_estimator(how, n).fit(complete).weights_, np.float64)
    except Exception as problem:  # solvers raise types of their own
        raise UserError(
            f"prediction.weighting.method {how.method!r} found no weights for {n} names: "
            f"{problem}. Use another method."
        ) from problem
    found = np.where(found < _LEAST_WEIGHT, 0.0, found)
    return np.asarray(found / found.sum(), dtype=np.float64)


def _estimator(how: WeightingConfig, n: int) -> Any:
    from skfolio.optimization import (
        HierarchicalRiskParity,
        MeanRisk,
        ObjectiveFunction,
        RiskBudgeting,
    )

    # an infeasible cap is told by the cap itself, afterwards
    cap = how.max_weight if how.max_weight and how.max_weight * n >= 1 else 1.0
    if how.method == "risk_parity":
        return RiskBudgeting(max_weights=cap)
    if how.method == "hierarchical_risk_parity":
        return HierarchicalRiskParity(max_weights=cap)
    if how.method == "minimum_variance":
        return MeanRisk(max_weights=cap)
    return MeanRisk(
        objective_function=ObjectiveFunction.MAXIMIZE_UTILITY,
        risk_aversion=how.risk_aversion,
        max_weights=cap,
    )
