"""Returns that a holder of shares would have seen, and how often a year they come."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ranking_pipeline.panel import OHLCV, BoolArray, FloatArray, Panel

TRADING_DAYS = 252


def bar_returns(close: FloatArray, tradable: BoolArray) -> npt.NDArray[np.float64]:
    """Return of each tradable bar over the symbol's previous tradable bar.

    Parameters
    ----------
    close : ndarray, shape (T, S)
    tradable : ndarray of bool, shape (T, S)
        A bar that is not tradable is a halt: its move is paid when trading resumes.

    Returns
    -------
    ndarray of float64, shape (T, S)
        NaN on a halt and on a symbol's first bar.
    """
    price = np.where(tradable, close, np.nan).astype(np.float64)
    return price / _previous(price) - 1.0


def _previous(price: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Value of each cell's last earlier bar that has one, shape (T, S); NaN if none."""
    bars = np.arange(len(price))[:, None]
    seen = np.maximum.accumulate(np.where(np.isfinite(price), bars, -1), axis=0)
    result = np.full(price.shape, np.nan)
    before = seen[:-1]
    last = np.take_along_axis(price, np.maximum(before, 0), axis=0)
    last[before < 0] = np.nan
    result[1:] = last
    return result


def panel_returns(panel: Panel) -> npt.NDArray[np.float64]:
    """:func:`bar_returns` of a panel, shape (T, S)."""
    return bar_returns(panel.cross_sections("close"), panel.tradable.T)


def holder_returns(panel: Panel) -> npt.NDArray[np.float64]:
    """Returns of a panel to those who hold a name, member of the universe or not.

    A name that leaves the universe can still be sold. So a bar counts where it is
    tradable in the panel, and also where it has volume and prices that do not all
    repeat those of the name's bar before. Closes are those of the panel: a split or a
    dividend that it adjusts for, by one factor on all four prices, is no return.

    Parameters
    ----------
    panel : Panel

    Returns
    -------
    ndarray of float64, shape (T, S)
        As of :func:`bar_returns`.
    """
    tradable = panel.tradable.T | traded_bars(panel)
    return bar_returns(panel.cross_sections("close"), tradable)


def traded_bars(panel: Panel) -> npt.NDArray[np.bool_]:
    """Where the market traded a name, member of the universe or not, shape (T, S).

    Such a bar has volume and does not repeat all prices of the name's bar before. One
    that is not tradable in the panel is that of a name outside the universe.
    """
    changed = np.zeros((panel.n_bars, panel.n_symbols), dtype=np.bool_)
    for name in OHLCV[:4]:
        price = panel.cross_sections(name).astype(np.float64)
        changed |= price != _previous(price)
    return np.asarray(
        changed & (panel.cross_sections("volume") > 0) & panel.present.T, np.bool_
    )


def periods_per_year(timestamps: npt.NDArray[np.datetime64]) -> float:
    """Bars in a trading year, from the usual number of bars a day and their spacing.

    Parameters
    ----------
    timestamps : ndarray of datetime64, shape (T,)

    Returns
    -------
    float
        252 times the median number of bars per date; 52 or 12 where the median gap
        between bars is that of weeks or months; NaN under two bars.
    """
    if len(timestamps) <= 1:
        return float("nan")
    days, counts = np.unique(timestamps.astype("datetime64[D]"), return_counts=True)
    per_day = float(np.median(counts))
    if len(days) == 1 or per_day > 1:
        return TRADING_DAYS * per_day
    gap = float(np.median(np.diff(days).astype(np.int64)))
    for longest, periods in ((4, TRADING_DAYS), (10, 52), (45, 12)):
        if gap <= longest:
            return float(periods)
    return 365.25 / gap
