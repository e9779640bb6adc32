"""Inference on a series over bars whose neighbours overlap: block tests and kin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Series = npt.NDArray[np.floating]

MIN_BLOCKS = 8
SHORTEST_BLOCK_BARS = 10
CONFIDENCE = 0.95


@dataclass(frozen=True)
class BlockTest:
    """One-sided test that the mean of a series is above zero, from block means.

    Attributes
    ----------
    mean : float
        Mean over the measured bars.
    t, p, z : float
        ``t`` on ``n_blocks - 1`` degrees of freedom, its one-sided p value, and the
        normal deviate of the same p. NaN with fewer than eight blocks.
    n_blocks, block_bars, n_bars : int
        Blocks used, their length, and measured bars.
    ci_low, ci_high : float
        Two-sided 95 % interval of the mean.
    standard_error : float
        Of the mean.
    """

    mean: float
    t: float
    p: float
    z: float
    n_blocks: int
    block_bars: int
    n_bars: int
    ci_low: float
    ci_high: float
    standard_error: float = float("nan")


@dataclass(frozen=True)
class PairedComparison:
    """Difference of two series measured on the same bars.

    Attributes
    ----------
    test : BlockTest
        Of first minus second; only bars where both are measured.
    bootstrap_low, bootstrap_high : float
        95 % interval from a circular block bootstrap.
    minimum_detectable_effect : float
        Smallest true difference that a two-sided 5 % test would find with 80 % power.
    """

    test: BlockTest
    bootstrap_low: float
    bootstrap_high: float
    minimum_detectable_effect: float


def block_length(lag: int, horizon: int) -> int:
    """Bars per block for labels that end ``lag + horizon`` bars after the decision."""
    return max(SHORTEST_BLOCK_BARS, 2 * (lag + horizon))


def block_test(series: Series, block_bars: int) -> BlockTest:
    """Test whether the mean of ``series`` is above zero, allowing for overlap.

    Parameters
    ----------
    series : ndarray, shape (T,)
        One value per bar in time order; NaN bars keep their place, so that a block
        always spans the same stretch of time.
    block_bars : int
        Bars per block. Blocks start at the first measured bar; one that is measured on
        fewer than half of its bars is left out of the standard error.

    Returns
    -------
    BlockTest
        With fewer than eight blocks everything but ``mean`` and the counts is NaN.

    References
    ----------
    Batch means: Conway (1963); t law on k - 1 degrees of freedom.
    """
    from scipy import stats

    values = np.asarray(series, dtype=np.float64)
    measured = values[np.isfinite(values)]
    n_bars = len(measured)
    mean = float(measured.mean()) if n_bars else float("nan")
    means = block_means(values, block_bars)
    k = len(means)
    if k < MIN_BLOCKS:
        nan = float("nan")
        return BlockTest(mean, nan, nan, nan, k, block_bars, n_bars, nan, nan, nan)
    error = _standard_error(means)
    t = _ratio(mean, error)
    tail = float(stats.t.sf(abs(t), k - 1))
    z = float(np.copysign(stats.norm.isf(tail), t))
    half = float(stats.t.ppf(0.5 + CONFIDENCE / 2, k - 1)) * error
    p = tail if t >= 0 else 1.0 - tail
    p = p if np.isfinite(tail) else float("nan")
    return BlockTest(
        mean, t, p, z, k, block_bars, n_bars, mean - half, mean + half, error
    )


def block_means(series: Series, block_bars: int) -> npt.NDArray[np.float64]:
    """Means of consecutive blocks, counted from the first measured bar.

    Parameters
    ----------
    series : ndarray, shape (T,)
    block_bars : int

    Returns
    -------
    ndarray of float64, shape (k,)
        Blocks measured on at least half of ``block_bars`` bars.
    """
    if block_bars < 1:
        raise ValueError(f"block_bars must be at least 1, not {block_bars}")
    values = np.asarray(series, dtype=np.float64)
    finite = np.isfinite(values)
    if not finite.any():
        return np.empty(0)
    start = int(np.argmax(finite))
    block = (np.arange(len(values) - start)) // block_bars
    counts = np.bincount(block, weights=finite[start:])
    sums = np.bincount(block, weights=np.where(finite, values, 0.0)[start:])
    kept = counts * 2 >= block_bars
    return np.asarray(sums[kept] / counts[kept])


def newey_west_t(series: Series, lags: int) -> float:
    """T statistic of the mean with Bartlett-weighted autocovariances.

    Parameters
    ----------
    series : ndarray, shape (T,)
        NaN bars keep their place and take part in no product.
    lags : int

    Returns
    -------
    float
        NaN with fewer than two measured bars or no variance.

    References
    ----------
    Newey and West (1987).
    """
    values = np.asarray(series, dtype=np.float64)
    finite = np.isfinite(values)
    n = int(finite.sum())
    if n <= 1:
        return float("nan")
    mean = float(values[finite].mean())
    x = np.where(finite, values - mean, 0.0)
    variance = float(x @ x)
    for lag in range(1, min(lags, len(x) - 1) + 1):
        variance += 2.0 * (1.0 - lag / (lags + 1.0)) * float(x[lag:] @ x[:-lag])
    return mean / float(np.sqrt(variance) / n) if variance > 0 else float("nan")


def benjamini_hochberg(p: Series) -> npt.NDArray[np.float64]:
    """Q values: the false discovery rate at which each hypothesis would be kept.

    Parameters
    ----------
    p : ndarray, shape (m,)
        NaN entries were not tested: they stay NaN and do not count.

    Returns
    -------
    ndarray of float64, shape (m,)

    References
    ----------
    Benjamini and Hochberg (1995).
    """
    values = np.asarray(p, dtype=np.float64)
    q = np.full(values.shape, np.nan)
    tested = np.flatnonzero(np.isfinite(values))
    if len(tested) == 0:
        return q
    order = tested[np.argsort(values[tested], kind="stable")]
    scaled = values[order] * len(order) / np.arange(1, len(order) + 1)
    q[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return q


def paired_comparison(
    first: Series, second: Series, block_bars: int, seed: int, draws: int = 2000
) -> PairedComparison:
    """Compare two series bar by bar, with the smallest difference one could have seen.

    Parameters
    ----------
    first, second : ndarray, shape (T,)
    block_bars : int
    seed : int
        Of the bootstrap.
    draws : int

    Returns
    -------
    PairedComparison
        NaN intervals with fewer than eight blocks.

    References
    ----------
    Politis and Romano (1992) for the circular block bootstrap.
    """
    from scipy import stats

    difference = np.asarray(first, np.float64) - np.asarray(second, np.float64)
    test = block_test(difference, block_bars)
    if test.n_blocks < MIN_BLOCKS:
        return PairedComparison(test, float("nan"), float("nan"), float("nan"))
    means = _circular_bootstrap(difference, block_bars, seed, draws)
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    freedom = test.n_blocks - 1
    reach = stats.t.isf((1 - CONFIDENCE) / 2, freedom) + stats.t.isf(0.2, freedom)
    effect = float(reach) * test.standard_error
    return PairedComparison(test, float(low), float(high), effect)


def _circular_bootstrap(
    series: npt.NDArray[np.float64], block_bars: int, seed: int, draws: int
) -> npt.NDArray[np.float64]:
    """Means of ``draws`` resampled series, each made of blocks that may wrap round."""
    start = int(np.argmax(np.isfinite(series)))
    values = series[start:]
    finite = np.isfinite(values)
    n_bars, n_blocks = len(values), -(-len(values) // block_bars)
    sums = _circular_sums(np.where(finite, values, 0.0), block_bars)
    counts = _circular_sums(finite.astype(np.float64), block_bars)
    starts = np.random.default_rng([seed, block_bars]).integers(
        n_bars, size=(draws, n_blocks)
    )
    return np.asarray(sums[starts].sum(axis=1) / counts[starts].sum(axis=1))


def _circular_sums(
    values: npt.NDArray[np.float64], width: int
) -> npt.NDArray[np.float64]:
    wrapped = np.concatenate([values, values[: width - 1]])
    windows = np.lib.stride_tricks.sliding_window_view(wrapped, width)
    return np.asarray(windows.sum(axis=1))


def _standard_error(means: npt.NDArray[np.float64]) -> float:
    spread = float(means.std(ddof=1))
    # a constant series differs from its own mean by rounding only
    noise = 1e-12 * float(np.abs(means).max())
    return 0.0 if spread <= noise else spread / float(np.sqrt(len(means)))


def _ratio(mean: float, error: float) -> float:
    if error > 0:
        return mean / error
    return float("nan") if mean == 0 else float(np.copysign(np.inf, mean))
