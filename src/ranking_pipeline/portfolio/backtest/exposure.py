"""Exposure: how much of the capital a book has in each sector, and in all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Exposure:
    """Shares of the capital at the close of each bar; NaN before the first trade.

    Attributes
    ----------
    net, gross : ndarray, shape (T, K + 1)
        Sum of weights and of |weights| per sector; the last column is for names whose
        sector is not known on that bar.
    long, short : ndarray, shape (T,)
        Sum of the weights above and below 0; ``short`` is negative.
    """

    net: Matrix
    gross: Matrix
    long: npt.NDArray[np.float64]
    short: npt.NDArray[np.float64]


def sector_exposure(
    weights: npt.NDArray[np.floating],
    held: npt.NDArray[np.bool_],
    sectors: npt.NDArray[np.integer],
    n_sectors: int,
) -> Exposure:
    """Add up weights over the sectors that names had at each bar.

    Parameters
    ----------
    weights : ndarray, shape (T, S)
        Of a ``BookPath``.
    held : ndarray of bool, shape (T,)
        Bars from the first trade on, as ``np.isfinite(path.gross)``.
    sectors : ndarray of int, shape (T, S)
        0 ... K - 1; negative where it is not known. A panel's ``sectors.T``.
    n_sectors : int
        K.

    Returns
    -------
    Exposure
    """
    n_bars, width = len(weights), n_sectors + 1
    codes = np.where(sectors < 0, n_sectors, sectors)
    cells = (np.arange(n_bars)[:, None] * width + codes).ravel()
    values = np.asarray(weights, dtype=np.float64)

    def added(part: Matrix) -> Matrix:
        sums = np.bincount(cells, part.ravel(), n_bars * width)
        return np.where(held[:, None], sums.reshape(n_bars, width), np.nan)

    long = np.where(held, np.maximum(values, 0.0).sum(axis=1), np.nan)
    short = np.where(held, np.minimum(values, 0.0).sum(axis=1), np.nan)
    return Exposure(added(values), added(np.abs(values)), long, short)
