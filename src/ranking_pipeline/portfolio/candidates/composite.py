"""Composite score: momentum, slope and calm of a name against those of its sector."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ranking_pipeline.portfolio.candidates.config import CompositeWeights
from ranking_pipeline.row_ranks import percentile_ranks

Array = npt.NDArray[np.float64]

NEUTRAL = 0.5


@dataclass(frozen=True)
class Percentiles:
    """Place of each name in its sector, (0, 1), each of shape (M, S).

    A percentile is the average rank over n + 1; NaN where the name is not scored, and
    in ``volatility`` also where no volatility is known.
    """

    momentum: Array
    ma_slope: Array
    volatility: Array


def sector_percentiles(
    momentum: Array, ma_slope: Array, volatility: Array, scored: npt.NDArray[np.bool_]
) -> Percentiles:
    """Rank the scored names of one sector, month by month; all of shape (M, S)."""
    return Percentiles(
        *(
            percentile_ranks(np.where(scored, values, np.nan))
            for values in (momentum, ma_slope, volatility)
        )
    )


def percentile_composite(
    places: Percentiles, momentum: Array, ma_slope: Array, weights: CompositeWeights
) -> Array:
    """Weighted mean of three percentiles, low volatility preferred, shape (M, S).

    A name without a volatility gets the neutral 0.5 for it. All terms share one scale,
    so that the weights mean what they say and no outlier counts more than its place.
    """
    del momentum, ma_slope  # their places are all that counts
    calm = _calm(places)
    return np.asarray(
        weights.momentum * places.momentum
        + weights.moving_average * places.ma_slope
        + weights.volatility * calm
    )


def legacy_composite(
    places: Percentiles, momentum: Array, ma_slope: Array, weights: CompositeWeights
) -> Array:
    """Mix of three scales, shape (M, S): z-score, raw slope, and rank of calm.

    For comparison only: the slope is near 0.01 where the z-score is near 1, so that its
    weight is nominal, and one outlier of momentum sets the score of its whole sector.
    """
    scored = np.isfinite(places.momentum)
    values = np.where(scored, momentum, np.nan)
    count = np.maximum(scored.sum(axis=1, keepdims=True), 1)
    mean = np.nansum(values, axis=1, keepdims=True) / count
    variance = np.nansum((values - mean) ** 2, axis=1, keepdims=True)
    deviation = np.sqrt(variance / np.maximum(count - 1, 1))
    z = (values - mean) / np.where(deviation > 0, deviation, np.inf)
    calm = _calm(places)
    return np.asarray(
        weights.momentum * z
        + weights.moving_average * ma_slope
        + weights.volatility * calm
    )


Composite = Callable[[Percentiles, Array, Array, CompositeWeights], Array]
COMPOSITES: dict[str, Composite] = {
    "percentile": percentile_composite,
    "legacy_mix": legacy_composite,
}


def _calm(places: Percentiles) -> Array:
    """One minus the percentile of the volatility; neutral where it is not known."""
    calm = np.where(np.isfinite(places.volatility), 1.0 - places.volatility, NEUTRAL)
    return np.where(np.isfinite(places.momentum), calm, np.nan)
