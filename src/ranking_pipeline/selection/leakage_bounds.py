"""Lower bounds: what the mean of a series is at least, for many series at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ranking_pipeline.evaluation.inference import MIN_BLOCKS

Series = npt.NDArray[np.float64]
Counts = npt.NDArray[np.intp]

_SHORTEST_BLOCK_BARS = 5


@dataclass(frozen=True)
class Bounds:
    """Means of series over bars and one-sided lower bounds of their size, shape (m,).

    Attributes
    ----------
    mean, standard_error : ndarray of float64
    low : ndarray of float64
        Of |mean|; NaN with fewer than eight blocks.
    signed_low : ndarray of float64
        Of the mean itself.
    n_bars, n_blocks : ndarray of int
    """

    mean: Series
    standard_error: Series
    low: Series
    signed_low: Series
    n_bars: Counts
    n_blocks: Counts


def leak_block_bars(n_measured: int, block_bars: int) -> int:
    """Bars per block: those of the target, fewer where eight blocks would not fit."""
    longest = max(_SHORTEST_BLOCK_BARS, n_measured // MIN_BLOCKS)
    return min(block_bars, longest)


def lower_bounds(
    series: npt.NDArray[np.float64], block_bars: int, confidence: float
) -> Bounds:
    """Bound the means of series, block by block.

    Parameters
    ----------
    series : ndarray, shape (T, m)
        NaN bars keep their place; blocks start at a series' first measured bar, and one
        measured on fewer than half of its bars is left out.
    block_bars : int
    confidence : float
        One-sided.

    Returns
    -------
    Bounds
        Means and standard errors equal those of ``evaluation.inference.block_test``.

    References
    ----------
    Batch means: Conway (1963); t law on k - 1 degrees of freedom.
    """
    from scipy import stats

    finite = np.isfinite(series)
    n_bars = finite.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(finite, series, 0.0).sum(axis=0) / n_bars
        error, n_blocks = _standard_errors(series, finite, block_bars)
    enough = n_blocks >= MIN_BLOCKS
    error = np.where(enough, error, np.nan)
    quantile = np.full(len(mean), np.nan)
    for k in np.unique(n_blocks[enough]):
        quantile[n_blocks == k] = stats.t.ppf(confidence, k - 1)
    low = np.where(enough, np.fmax(0.0, np.abs(mean) - quantile * error), np.nan)
    return Bounds(mean, error, low, mean - quantile * error, n_bars, n_blocks)


def _standard_errors(
    series: npt.NDArray[np.float64], finite: npt.NDArray[np.bool_], block_bars: int
) -> tuple[Series, Counts]:
    """Standard errors of the means from those of the blocks, and the blocks' number."""
    error = np.full(series.shape[1], np.nan)
    number = np.zeros(series.shape[1], dtype=np.intp)
    first = np.where(finite.any(axis=0), finite.argmax(axis=0), len(series))
    for start in np.unique(first[first < len(series)]):
        here = np.flatnonzero(first == start)
        edges = np.arange(start, len(series), block_bars)
        values = np.where(finite[:, here], series[:, here], 0.0)
        sums = np.add.reduceat(values, edges, axis=0)
        counts = np.add.reduceat(finite[:, here].astype(np.float64), edges, axis=0)
        kept = counts * 2 >= block_bars
        k = kept.sum(axis=0)
        means = np.where(kept, sums / np.where(kept, counts, 1.0), 0.0)
        centre = means.sum(axis=0) / k
        squares = np.where(kept, (means - centre) ** 2, 0.0).sum(axis=0)
        spread = np.sqrt(squares / (k - 1))
        # a constant series differs from its own mean by rounding only
        spread[spread <= 1e-12 * np.abs(means).max(axis=0)] = 0.0
        error[here], number[here] = spread / np.sqrt(k), k
    return error, number
