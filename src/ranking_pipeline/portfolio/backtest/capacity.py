"""Capacity: the capital with which a book's trades stay small in their markets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Capacity:
    """Capital at which trades reach a share of what their names usually trade.

    Attributes
    ----------
    capital : float
        Dollars with which half of the traded notional stays below ``participation`` of
        the names' dollar volume of a bar; NaN where nothing was traded.
    strict_capital : float
        The same for 95 % of the notional: what the thinnest names allow.
    participation : float
        Share of the median dollar volume, as 0.05.
    """

    capital: float
    strict_capital: float
    participation: float


def usual_dollar_volume(
    close: npt.NDArray[np.floating],
    volume: npt.NDArray[np.floating],
    window_bars: int,
    min_bars: int = 5,
) -> Matrix:
    """Median over the last bars of close times volume, up to each bar and with it.

    Parameters
    ----------
    close, volume : ndarray, shape (T, S)
        NaN where a name has no bar: it does not count. A panel adjusts the two against
        each other, so their product is the dollars that were paid on the day.
    window_bars : int
    min_bars : int
        Fewest bars inside the window.

    Returns
    -------
    ndarray of float64, shape (T, S)
        Dollars per bar; NaN with fewer bars.
    """
    import pandas as pd

    dollars = np.asarray(close, np.float64) * np.asarray(volume, np.float64)
    fewest = min(min_bars, window_bars)
    rolling = pd.DataFrame(dollars).rolling(window_bars, min_periods=fewest)
    return rolling.median().to_numpy()


def trading_capacity(
    trades: npt.NDArray[np.floating],
    usual: npt.NDArray[np.floating],
    lag_bars: int,
    participation: float,
) -> Capacity:
    """Find the capital at which a book's trades reach a share of the usual volume.

    A trade that changes a weight by d in a name that usually trades v dollars a bar
    reaches the share p at a capital of ``p v / |d|``. The answer is a quantile of these
    over all trades, each weighted by |d|; those in names without a dollar volume up to
    the decision are left out.

    Parameters
    ----------
    trades : ndarray, shape (T, S)
        Changes of weight, as shares of the capital; of a ``BookPath``.
    usual : ndarray, shape (T, S)
        :func:`usual_dollar_volume`; what is known at the decision, ``lag_bars`` before
        the trade, counts.
    lag_bars : int
    participation : float

    Returns
    -------
    Capacity
    """
    if not 0 < participation <= 1:
        raise ValueError(f"participation must be in (0, 1], not {participation}")
    bars, names = np.nonzero(trades)
    decided = bars - lag_bars
    size = np.abs(trades[bars, names]).astype(np.float64)
    dollars = np.where(decided >= 0, usual[np.maximum(decided, 0), names], np.nan)
    priced = np.isfinite(dollars) & (dollars > 0)
    limits = participation * dollars[priced] / size[priced]
    half, most = (_quantile(limits, size[priced], q) for q in (0.5, 0.05))
    return Capacity(half, most, participation)


def _quantile(
    values: npt.NDArray[np.float64], weights: npt.NDArray[np.float64], share: float
) -> float:
    """Smallest value up to which ``share`` of the weight lies; NaN without a value."""
    if len(values) == 0:
        return float("nan")
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    # the sum of all can round below its own share
    place = min(int(np.searchsorted(reached, share * reached[-1])), len(values) - 1)
    return float(values[order[place]])
