"""Legs: the best and the worst names of a sector, and their ranks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ranking_pipeline.evaluation.metrics import descending_places, tail_size

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Legs:
    """Names of the two legs of each month, disjoint.

    Attributes
    ----------
    long, short : ndarray of int, shape (M, S)
        Rank in the name's leg and sector, 1 = highest (long) or lowest (short)
        composite; 0 where the name is in no leg.
    """

    long: npt.NDArray[np.intp]
    short: npt.NDArray[np.intp]


def sector_legs(composite: Array, top_ratio: float, bottom_ratio: float) -> Legs:
    """Take both tails of one sector, month by month.

    Parameters
    ----------
    composite : ndarray, shape (M, S)
        NaN outside the sector. Ties are ordered by (-composite, column).
    top_ratio, bottom_ratio : float
        Share of the n names in each tail: ``min(max(1, floor(n ratio)), n // 2)``
        names, so that the tails never meet.
    """
    place, n = descending_places(composite)
    upper = tail_size(n, top_ratio)[:, None]
    lower = tail_size(n, bottom_ratio)[:, None]
    from_below = n[:, None] - place
    inside = from_below > 0
    return Legs(
        long=np.where(place < upper, place + 1, 0),
        short=np.where(inside & (from_below <= lower), from_below, 0),
    )


def capped(legs: Legs, composite: Array, most: int | None) -> Legs:
    """Keep the best ``most`` names of each leg of a month, over all sectors.

    Best are the highest composites of the long leg and the lowest of the short one;
    None keeps all. Percentiles compare between sectors, a mix of scales does not.
    """
    if most is None:
        return legs
    place, _ = descending_places(np.where(legs.long > 0, composite, np.nan))
    below, n = descending_places(np.where(legs.short > 0, composite, np.nan))
    return Legs(
        long=np.where(place < most, legs.long, 0),
        short=np.where(below >= n[:, None] - most, legs.short, 0),
    )
