"""Weights: how the names of one leg share its capital."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from ranking_pipeline.errors import UserError
from ranking_pipeline.portfolio.prediction_config import WeightingConfig
from ranking_pipeline.row_ranks import row_ranks

Weights = npt.NDArray[np.float64]


def leg_weights(
    score: npt.NDArray[np.floating],
    volatility: npt.NDArray[np.floating] | None,
    sector: npt.NDArray[np.generic] | None,
    how: WeightingConfig,
    returns: npt.NDArray[np.floating] | None = None,
) -> Weights:
    """Weigh the names of one leg; the sign of the leg stands outside.

    The method gives weights, then sectors get equal shares where that is asked for,
    then no name keeps more than the cap.

    Parameters
    ----------
    score : ndarray, shape (n,)
        The larger, the more wanted: a short leg comes with its scores negated.
    volatility : ndarray, shape (n,), optional
        Standard deviation of a bar's return; ``volatility_scaled`` needs it.
    sector : ndarray, shape (n,), optional
        Sector of each name; ``sector_neutral`` needs it.
    how : WeightingConfig
    returns : ndarray, shape (T, n), optional
        Complete returns of a holder of the leg, a short leg's negated; the optimisers
        need them.

    Returns
    -------
    ndarray of float64, shape (n,)
        At least 0, with the sum 1; empty for an empty leg.

    Raises
    ------
    UserError
        When the method cannot weigh these scores, or the cap leaves capital over.
    """
    if not len(score):
        return np.empty(0)
    values = np.asarray(score, dtype=np.float64)
    if how.is_optimised:
        from ranking_pipeline.portfolio.optimisers import optimised_weights

        weights = optimised_weights(_given(returns, how), how)
    elif how.method == "volatility_scaled":
        weights = _shares(1.0 / _given(volatility, how))
    else:
        weights = _METHODS[how.method](values, how)
    if how.sector_neutral:
        weights = sector_shared(weights, _given(sector, how))
    return weights if how.max_weight is None else capped(weights, how.max_weight)


def capped(weights: Weights, cap: float) -> Weights:
    """Cut weights at ``cap`` and give the excess to the others in proportion.

    What is given may lift others over the cap: that is done again until none is over.

    Parameters
    ----------
    weights : ndarray, shape (n,)
        At least 0, with the sum 1.
    cap : float

    Returns
    -------
    ndarray of float64, shape (n,)

    Raises
    ------
    UserError
        When ``n * cap`` is below 1.
    """
    n = len(weights)
    if n * cap < 1 - 1e-12:
        raise UserError(
            f"prediction.weighting.max_weight is {cap:g}, and a leg of {n} names then "
            f"holds at most {n * cap:.3g} of its capital: use {1 / n:.4g} or more, or a "
            "larger prediction.top_n."
        )
    full = np.zeros(n, dtype=bool)
    result = weights.copy()
    while np.any(over := (result > cap) & ~full):
        full |= over
        rest = 1.0 - cap * full.sum()
        result = np.where(full, cap, 0.0)
        result[~full] = rest * _shares(weights[~full])
    return result


def sector_shared(weights: Weights, sector: npt.NDArray[np.generic]) -> Weights:
    """Give each sector that is there the same share of 1; inside, weights keep theirs.

    Parameters
    ----------
    weights : ndarray, shape (n,)
    sector : ndarray, shape (n,)

    Returns
    -------
    ndarray of float64, shape (n,)
    """
    names = np.unique(sector)
    result = np.zeros(len(weights))
    for name in names:
        inside = sector == name
        result[inside] = _shares(weights[inside]) / len(names)
    return result


def _shares(values: npt.NDArray[np.floating]) -> Weights:
    """Shares of the sum; equal ones where that is 0."""
    if not len(values):
        return np.empty(0)
    total = values.sum()
    if not total > 0:
        return np.full(len(values), 1.0 / len(values))
    return np.asarray(values / total, dtype=np.float64)


def _equal(score: Weights, _: WeightingConfig) -> Weights:
    return np.full(len(score), 1.0 / len(score))


def _rank(score: Weights, _: WeightingConfig) -> Weights:
    """Linear in the rank from below: n, n - 1 ... 1 parts; ties share theirs."""
    return _shares(row_ranks(score[None])[0])


def _softmax(score: Weights, how: WeightingConfig) -> Weights:
    """Softmax of standardised scores: families differ in the scale of theirs."""
    spread = score.std()
    if not spread > 0:
        return _equal(score, how)
    return _shares(np.exp((score - score.max()) / (spread * how.temperature)))


def _proportional(score: Weights, _: WeightingConfig) -> Weights:
    if (score < 0).any() or not score.sum() > 0:
        raise UserError(
            "prediction.weighting.method score_proportional needs scores that speak for "
            f"their leg (positive in a long leg, negative in a short one); {score.min():g} "
            "is the weakest here. Use equal, rank or score_softmax, or fewer names "
            "(prediction.top_n)."
        )
    return _shares(score)


def _given(values: npt.NDArray[Any] | None, how: WeightingConfig) -> npt.NDArray[Any]:
    if values is None:
        raise ValueError(f"{how.method} lacks one of volatility, sector and returns")
    return values


_METHODS: dict[str, Callable[[Weights, WeightingConfig], Weights]] = {
    "equal": _equal,
    "rank": _rank,
    "score_softmax": _softmax,
    "score_proportional": _proportional,
}
