"""Standardised factors: in deviations of the training rows, clipped, 0 where unknown."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pydantic import Field

from ranking_pipeline.config import Config

FloatArray = npt.NDArray[np.float64]


class ClippedConfig(Config):
    """Parameters of whatever learns from standardised factors."""

    clip_sigma: float = Field(
        gt=0, description="standardised factors are clipped at this many deviations"
    )


def column_moments(
    features: npt.NDArray[np.float32],
    weight: npt.NDArray[np.floating] | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Mean and reciprocal deviation per column; see :func:`mean_and_deviation`.

    Returns
    -------
    mean, scale : ndarray of float64, shape (F,)
        A scale of 0 where a column does not vary.
    """
    mean, spread = mean_and_deviation(features, weight)
    return mean, np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > 0)


def mean_and_deviation(
    features: npt.NDArray[np.float32],
    weight: npt.NDArray[np.floating] | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Mean and deviation per column, in 64 bits: long sums of 32 bits stop growing.

    Parameters
    ----------
    features : ndarray of float32, shape (n, F)
        NaN where a factor is not yet known.
    weight : ndarray, shape (n,), optional
        How much each row counts.

    Returns
    -------
    mean, deviation : ndarray of float64, shape (F,)
        A deviation of 0 where a column does not vary.
    """
    known = np.isfinite(features)
    share = known if weight is None else known * weight.astype(np.float64)[:, None]
    count = share.sum(axis=0)
    count = np.where(count > 0, count, 1)
    values = np.where(known, features, 0).astype(np.float64)
    mean = (values if weight is None else values * share).sum(axis=0) / count
    squares = np.where(known, values - mean, 0.0) ** 2
    if weight is not None:
        squares *= share
    spread = np.sqrt(squares.sum(axis=0) / count)
    told = spread > 1e-12 * np.maximum(1.0, np.abs(mean))
    return mean, np.where(told, spread, 0.0)


def standardised(
    features: npt.NDArray[np.float32],
    mean: FloatArray,
    scale: FloatArray,
    clip_sigma: float,
) -> FloatArray:
    """Subtract means and multiply by scales; shape (n, F), 0 (the mean) where NaN."""
    z = (features.astype(np.float64) - mean) * scale
    z.clip(-clip_sigma, clip_sigma, out=z)
    return np.nan_to_num(z, copy=False, nan=0.0)
