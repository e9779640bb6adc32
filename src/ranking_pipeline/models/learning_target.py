"""Learning target: the scale on which a model sees the payoff that it learns."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ranking_pipeline.errors import UserError
from ranking_pipeline.row_ranks import average_ranks

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
    transform = _normal_scores if kind == "cs_gauss" else demeaned
    result = np.full(len(values), np.nan, dtype=np.float32)
    if len(known):
        result[known] = transform(values[known].astype(np.float64), bars[known])
    return result


def demeaned(
    values: npt.NDArray[np.float64], keys: npt.NDArray[np.integer]
) -> npt.NDArray[np.float64]:
    """Values (n,), finite, minus the mean of those with the same key, such as a bar."""
    _, group = np.unique(keys, return_inverse=True)
    mean = np.bincount(group, weights=values) / np.bincount(group)
    return np.asarray(values - mean[group])


def _normal_scores(
    values: npt.NDArray[np.float64], bars: npt.NDArray[np.integer]
) -> npt.NDArray[np.float64]:
    from scipy.special import ndtri

    rank, size = average_ranks(values, bars)
    return np.asarray(ndtri((rank - 0.5) / size))
