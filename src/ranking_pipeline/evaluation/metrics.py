"""Metrics per bar: what a cross-section of scores says about what came after.

Every function takes cross-section layout, shape (T, S), with NaN where a symbol is
absent, and returns one number per bar, NaN where the bar cannot be measured.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ranking_pipeline.row_ranks import row_ranks

Matrix = npt.NDArray[np.floating]
Series = npt.NDArray[np.float64]


def rank_ic(score: Matrix, outcome: Matrix, min_symbols: int) -> Series:
    """Rank information coefficient per bar: Spearman's correlation over the symbols.

    Parameters
    ----------
    score, outcome : ndarray, shape (T, S)
        Only cells where both are finite count; ties share their average rank.
    min_symbols : int
        Fewest symbols with which a bar is measured.

    Returns
    -------
    ndarray of float64, shape (T,)
        In [-1, 1]; NaN where fewer symbols are present or one side does not vary.
    """
    both = _both_finite(score, outcome)
    ranks = row_ranks(np.where(both, score, np.nan))
    outcome_ranks = row_ranks(np.where(both, outcome, np.nan))
    return correlation(ranks, outcome_ranks, max(min_symbols, 2))


def correlation(first: Matrix, second: Matrix, min_symbols: int) -> Series:
    """Pearson's correlation per bar over the cells where both are finite.

    Parameters
    ----------
    first, second : ndarray, shape (T, S)
    min_symbols : int

    Returns
    -------
    ndarray of float64, shape (T,), NaN as in :func:`rank_ic`.
    """
    both = _both_finite(first, second)
    count = both.sum(axis=1)
    x, y = _centred(first, both, count), _centred(second, both, count)
    covariance = np.einsum("ts,ts->t", x, y)
    variances = np.einsum("ts,ts->t", x, x) * np.einsum("ts,ts->t", y, y)
    measured = (count >= max(min_symbols, 2)) & (variances > 0)
    result = np.full(len(count), np.nan)
    np.divide(covariance, np.sqrt(variances), out=result, where=measured)
    return np.asarray(np.clip(result, -1.0, 1.0))


def auc_skill(
    score: Matrix, label: Matrix, min_per_class: int = 5, negative: int = -1
) -> Series:
    """Directional skill per bar: 2 AUC - 1, in [-1, 1]; see :func:`auc`."""
    return 2.0 * auc(score, label, min_per_class, negative) - 1.0


def auc(
    score: Matrix, label: Matrix, min_per_class: int = 5, negative: int = -1
) -> Series:
    """Area under the ROC curve per bar, of the positives against the negatives.

    Parameters
    ----------
    score, label : ndarray, shape (T, S)
        Positives are ``label == 1``; other classes than the two are left out.
    min_per_class : int
        Fewest symbols of each of the two classes.
    negative : int
        The class opposed: -1 for three classes, 0 for two.

    Returns
    -------
    ndarray of float64, shape (T,)
        In [0, 1]; NaN under ``min_per_class`` of either class.

    References
    ----------
    Mann and Whitney (1947): the AUC is the rank sum of the positives, rescaled.
    """
    finite = np.isfinite(score)
    positive = finite & (label == 1)
    opposed = finite & (label == negative)
    ranks = row_ranks(np.where(positive | opposed, score, np.nan))
    n_positive, n_opposed = positive.sum(axis=1), opposed.sum(axis=1)
    wins = np.where(positive, ranks, 0.0).sum(axis=1)
    wins -= n_positive * (n_positive + 1) / 2
    enough = np.minimum(n_positive, n_opposed) >= max(min_per_class, 1)
    result = np.full(len(score), np.nan)
    np.divide(wins, n_positive * n_opposed, out=result, where=enough)
    return result


def tail_spread(
    score: Matrix, payoff: Matrix, tail_share: float, min_symbols: int
) -> Series:
    """Mean payoff of the highest scores minus that of the lowest, per bar.

    Parameters
    ----------
    score, payoff : ndarray, shape (T, S)
        Only cells where both are finite count.
    tail_share : float
        Share of the symbols in each tail; see :func:`tail_size`.
    min_symbols : int

    Returns
    -------
    ndarray of float64, shape (T,)
        In the unit of ``payoff``, whatever the scale of the score; NaN under
        ``min_symbols`` or where the tails would be empty.
    """
    both = _both_finite(score, payoff)
    longs, shorts = tails(np.where(both, score, np.nan), tail_share)
    size = longs.sum(axis=1)
    values = np.where(both, payoff, 0.0)
    difference = np.where(longs, values, 0.0).sum(axis=1)
    difference -= np.where(shorts, values, 0.0).sum(axis=1)
    measured = (size > 0) & (both.sum(axis=1) >= min_symbols)
    result = np.full(len(size), np.nan)
    np.divide(difference, size, out=result, where=measured)
    return result


def tail_size(n: npt.NDArray[np.int_], tail_share: float) -> npt.NDArray[np.int_]:
    """Names in each tail of n: at least one, and never so many that the tails meet.

    Parameters
    ----------
    n : ndarray of int, shape (T,)
    tail_share : float

    Returns
    -------
    ndarray of int, shape (T,), ``min(max(1, floor(n share)), n // 2)``.
    """
    # a share such as 0.29 of 100 names is 28.999999999999996 in floating point
    wanted = np.floor(n * tail_share + 1e-9).astype(np.int_)
    return np.asarray(np.minimum(np.maximum(wanted, 1), n // 2))


def tails(
    score: Matrix, tail_share: float
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Membership of the long and the short tail, shape (T, S) each, disjoint.

    Ties are ordered by (-score, column): columns are symbols in sorted order.
    """
    place, n = descending_places(score)
    k = tail_size(n, tail_share)[:, None]
    return place < k, (place >= n[:, None] - k) & (place < n[:, None])


def descending_places(
    score: Matrix,
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.int_]]:
    """Place of each cell when its bar is ordered by (-score, column), from 0.

    Returns
    -------
    place : ndarray of int, shape (T, S)
        Absent cells come after all present ones.
    n : ndarray of int, shape (T,)
        Cells present.
    """
    order = np.argsort(-np.asarray(score, dtype=np.float64), axis=1, kind="stable")
    place = np.empty_like(order)
    np.put_along_axis(place, order, np.arange(score.shape[1])[None, :], axis=1)
    return place, np.isfinite(score).sum(axis=1)


def decile_means(
    score: Matrix, payoff: Matrix, min_symbols: int, n_groups: int = 10
) -> npt.NDArray[np.float64]:
    """Mean payoff per score group and bar; group 0 holds the lowest scores.

    Parameters
    ----------
    score, payoff : ndarray, shape (T, S)
    min_symbols : int
    n_groups : int

    Returns
    -------
    ndarray of float64, shape (T, n_groups)
        NaN where a group is empty. Groups come from average ranks, so ties stay
        together.
    """
    both = _both_finite(score, payoff)
    count = both.sum(axis=1)
    ranks = row_ranks(np.where(both, score, np.nan))
    share = (ranks - 0.5) / np.maximum(count, 1)[:, None]
    group = np.where(both, np.minimum(share * n_groups, n_groups - 1), -1).astype(int)
    result = np.full((len(score), n_groups), np.nan)
    for index in range(n_groups):
        members = group == index
        size = members.sum(axis=1)
        total = np.where(members, payoff, 0.0).sum(axis=1)
        enough = (size > 0) & (count >= min_symbols)
        np.divide(total, size, out=result[:, index], where=enough)
    return result


def hit_rate(series: Series) -> float:
    """Share of the measured bars on which the series is above zero; NaN if none."""
    finite = series[np.isfinite(series)]
    return float((finite > 0).mean()) if len(finite) else float("nan")


def icir(series: Series) -> float:
    """Information ratio of an IC series: mean over standard deviation (ddof 1).

    Per bar, not annualised; NaN with fewer than two measured bars or no variation.
    """
    finite = series[np.isfinite(series)]
    deviation = finite.std(ddof=1) if len(finite) > 1 else 0.0
    return float(finite.mean() / deviation) if deviation > 0 else float("nan")


def _both_finite(first: Matrix, second: Matrix) -> npt.NDArray[np.bool_]:
    return np.isfinite(first) & np.isfinite(second)


def _centred(
    values: Matrix, both: npt.NDArray[np.bool_], count: npt.NDArray[np.int_]
) -> npt.NDArray[np.float64]:
    kept = np.where(both, values, 0.0).astype(np.float64)
    mean = kept.sum(axis=1) / np.maximum(count, 1)
    return np.where(both, kept - mean[:, None], 0.0)
