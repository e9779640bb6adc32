"""Learning target: the scale on which a model sees the payoff that it learns."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ranking_pipeline.errors import UserError

KINDS = ("cs_gauss", "cs_demean", "raw")


def learning_target(
    values: npt.NDArray[np.floating],
    bars: npt.NDArray[np.integer],
    task: str,
    kind: str,
) -> npt.NDArray[np.float32]:
    """Put payoffs on the learning scale, bar by bar; classes stay as they are.

    Parameters
    ----------
    values : ndarray, shape (n,)
        Payoff (a simple return) or class of each row; NaN where it is not known.
    bars : ndarray of int, shape (n,)
        Bar of each row, in any order. A bar's values are compared with one another
        only: nothing is learned from other bars.
    task : str
        ``regression``, ``binary`` or ``three_class``; only a regression is transformed.
    kind : str
        ``cs_gauss``: normal score Φ⁻¹((r - 1/2) / n) of the average rank r among the n
        known values of the bar (the rankit; Bliss, 1967), which tames heavy tails.
        ``cs_demean``: value minus the bar's mean. ``raw``: the value.

    Returns
    -------
    ndarray of float32, shape (n,)
        NaN exactly where ``values`` is NaN.

    Raises
    ------
    UserError
        For an unknown kind.
    """
    if kind not in KINDS:
        raise UserError(f"learning_target {kind!r} does not exist; use one of {KINDS}")
    if task != "regression" or kind == "raw":
        return np.asarray(values, dtype=np.float32)
    known = np.flatnonzero(np.isfinite(values))
    transform = _normal_scores if kind == "cs_gauss" else _demeaned
    result = np.full(len(values), np.nan, dtype=np.float32)
    if len(known):
        result[known] = transform(values[known].astype(np.float64), bars[known])
    return result


def _demeaned(
    values: npt.NDArray[np.float64], bars: npt.NDArray[np.integer]
) -> npt.NDArray[np.float64]:
    _, group = np.unique(bars, return_inverse=True)
    mean = np.bincount(group, weights=values) / np.bincount(group)
    return np.asarray(values - mean[group])


def _normal_scores(
    values: npt.NDArray[np.float64], bars: npt.NDArray[np.integer]
) -> npt.NDArray[np.float64]:
    from scipy.special import ndtri

    rank, size = average_ranks(values, bars)
    return np.asarray(ndtri((rank - 0.5) / size))


def average_ranks(
    values: npt.NDArray[np.float64], bars: npt.NDArray[np.integer]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.intp]]:
    """Average rank (1 = smallest) of each value within its bar, and the bar's size.

    Parameters
    ----------
    values : ndarray of float64, shape (n,)
        Finite; equal values share the mean of their ranks.
    bars : ndarray of int, shape (n,)

    Returns
    -------
    tuple of ndarray, shape (n,) each
    """
    order = np.lexsort((values, bars))
    bar, value = bars[order], values[order]
    new_bar = np.r_[True, bar[1:] != bar[:-1]]
    new_run = new_bar | np.r_[True, value[1:] != value[:-1]]
    bar_start, bar_size = _runs(new_bar)
    run_start, run_size = _runs(new_run)
    rank = np.empty(len(values))
    rank[order] = run_start - bar_start + (run_size + 1) / 2
    size = np.empty(len(values), dtype=np.intp)
    size[order] = bar_size
    return rank, size


def _runs(
    starts: npt.NDArray[np.bool_],
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Start and length of the run to which each position belongs."""
    first = np.flatnonzero(starts)
    length = np.diff(np.r_[first, len(starts)])
    return np.repeat(first, length), np.repeat(length, length)
