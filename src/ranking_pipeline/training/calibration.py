"""Calibration: how many units of the payoff one unit of a model's score is worth."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ranking_pipeline.evaluation.inference import block_length
from ranking_pipeline.models.learning_target import demeaned
from ranking_pipeline.models.samples import Samples

PRIOR_SLOPE, PRIOR_DEVIATION = 1.0, 0.5
MIN_CALIBRATION_BLOCKS = 3
NAN = float("nan")


@dataclass(frozen=True)
class Calibration:
    """Slope of the learning target on the score, on rows the model did not learn from.

    Attributes
    ----------
    slope
        1 where a score is worth what it says; NaN where nothing was measured.
    error
        Its standard error from sums over blocks of bars, so that neither the names of a
        bar, which move together, nor labels that overlap count as independent.
    """

    slope: float
    error: float


UNKNOWN = Calibration(NAN, NAN)


def calibrate(
    score: npt.NDArray[np.floating], rows: Samples, *, pooled: bool
) -> Calibration:
    """Measure the slope on held-out rows.

    Parameters
    ----------
    score : ndarray, shape (n,)
        NaN where the model gives none.
    rows : Samples
        Labelled; their targets are centred within the bar, over all symbols.
    pooled : bool
        True: scores are centred within the bar too, because only their differences
        there are used. False: the rows of one symbol; a line through the origin.

    Returns
    -------
    Calibration
        Unknown where scores do not vary or there are fewer than three blocks.

    References
    ----------
    Liang and Zeger (1986) for the error.
    """
    known = np.flatnonzero(np.isfinite(score))
    if not len(known):
        return UNKNOWN
    x, y = score[known].astype(np.float64), rows.target[known].astype(np.float64)
    bars = rows.bars[known]
    if pooled:
        x = demeaned(x, bars)
    span = int((rows.label_end[known] - bars).max())  # entry lag + horizon
    _, block = np.unique(bars // block_length(0, span), return_inverse=True)
    spread, n_blocks = float(x @ x), int(block.max()) + 1
    if n_blocks < MIN_CALIBRATION_BLOCKS or not spread > 1e-12:
        return UNKNOWN
    slope = float(x @ y) / spread
    sums = np.bincount(block, x * (y - slope * x))
    error = float(np.sqrt(sums @ sums * n_blocks / (n_blocks - 1))) / spread
    return Calibration(slope, error) if error > 0 else UNKNOWN


def shrunk_slope(slopes: Iterable[float], errors: Iterable[float]) -> float:
    """Give the slope to use: the precision-weighted mean, drawn towards 1.

    Families learn by least squares or are scaled so, hence the prior: normal with mean
    1 and deviation 1/2. A slope below 0 would turn a model round on the word of a few
    months; it becomes 0, no opinion.

    Parameters
    ----------
    slopes, errors : iterable of float
        Of the models that share a slope; pairs with NaN are left out.
    """
    weights = [PRIOR_DEVIATION**-2]
    values = [PRIOR_SLOPE]
    for slope, error in zip(slopes, errors, strict=True):
        if np.isfinite(slope) and error > 0:
            weights.append(error**-2)
            values.append(slope)
    return max(0.0, float(np.average(values, weights=weights)))
