"""Clusters: features that rank alike, of which one is enough.

Off by default (``max_redundancy: 1``): it shortens the list and does not help the score.
Against all 99 features the rank IC of ``fwd_ret_1d`` out of fold changes, over three
simulated markets (standard error .002) and on the S&P 500 to 2017 (.002), with average
linkage at 0.98 by -.0015 and -.0005, at 0.9 by -.0004 and -.0022, at 0.8 by -.0050 and
-.0028, at 0.7 by -.0149 and -.0022; with complete linkage at 0.9 by -.0018 and -.0018.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ranking_pipeline.selection.problem import Problem

Correlations = npt.NDArray[np.float64]

MAX_ROWS = 20_000
_DIGITS = 6  # of a float32 rank; rounding must not tell equal columns apart


def rank_correlations(problem: Problem, names: Sequence[str]) -> Correlations:
    """Spearman correlation of features within bars, pooled, shape (F, F).

    In the time-series view within symbols. A missing value counts as the middle; at
    most 20,000 rows, evenly spread, are looked at, so that 500 features take 80 MB.

    Parameters
    ----------
    problem : Problem
    names : sequence of str, length F
        Order of the rows and columns.

    Returns
    -------
    ndarray of float64, shape (F, F)
        0 beside a column that does not vary.
    """
    from threadpoolctl import threadpool_limits

    own = problem.samples.feature_names
    places = {name: place for place, name in enumerate(own)}
    columns = [places[name] for name in names]
    step = -(-len(problem.ranks) // MAX_ROWS) or 1
    centred = problem.ranks[::step][:, columns].astype(np.float64) - 0.5
    np.nan_to_num(centred, copy=False)
    # One thread: a parallel product would depend on the number of threads.
    with threadpool_limits(1):
        covariance = centred.T @ centred
    scale = np.sqrt(np.diag(covariance))
    scale = np.where(scale > 0, scale, 1.0)
    return np.asarray(covariance / np.outer(scale, scale))


def correlation_clusters(
    correlations: Correlations, max_redundancy: float, linkage: str
) -> npt.NDArray[np.intp]:
    """Join features whose distance 1 - |correlation| is at most 1 - max_redundancy.

    Parameters
    ----------
    correlations : ndarray, shape (F, F)
    max_redundancy : float
        At 1 nothing is joined.
    linkage : str
        ``average``: mean distance between the members of two clusters; ``complete``:
        the largest, so that no two members of a cluster are further apart.

    Returns
    -------
    ndarray of int, shape (F,)
        Clusters numbered from 1 in the order in which they first occur.

    References
    ----------
    Sokal and Michener (1958) for average, Sørensen (1948) for complete linkage.
    """
    from scipy.cluster.hierarchy import fcluster
    from scipy.cluster.hierarchy import linkage as join
    from scipy.spatial.distance import squareform

    size = len(correlations)
    if size < 2 or max_redundancy >= 1:
        return np.arange(1, size + 1)
    distance = np.round(1.0 - np.abs(correlations), _DIGITS).clip(0.0, 1.0)
    distance = np.minimum(distance, distance.T)
    np.fill_diagonal(distance, 0.0)
    tree = join(squareform(distance, checks=False), method=linkage)
    cut = 1.0 - max_redundancy + 10.0**-_DIGITS / 2
    return renumbered(fcluster(tree, cut, criterion="distance"))


def best_of_cluster(
    clusters: npt.NDArray[np.intp], eligible: npt.NDArray[np.bool_]
) -> npt.NDArray[np.intp]:
    """Row of the first eligible member of each row's cluster, -1 where there is none.

    Parameters
    ----------
    clusters : ndarray of int, shape (F,)
        In the order of preference.
    eligible : ndarray of bool, shape (F,)
    """
    best = np.full(int(clusters.max(initial=0)) + 1, -1, dtype=np.intp)
    for row in np.flatnonzero(eligible)[::-1]:
        best[clusters[row]] = row
    return best[clusters]


def renumbered(labels: npt.NDArray[np.integer]) -> npt.NDArray[np.intp]:
    """Number labels from 1 in the order in which they first occur."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    place = np.empty(len(first), dtype=np.intp)
    place[np.argsort(first)] = np.arange(1, len(first) + 1)
    return place[inverse]
