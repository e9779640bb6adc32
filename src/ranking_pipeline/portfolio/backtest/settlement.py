"""Settlement: when names of a panel end, and what their holders then got."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.errors import UserError
from ranking_pipeline.panel import Panel


@dataclass(frozen=True)
class Settlement:
    """Ends of the names of a panel, for ``run_book``.

    Attributes
    ----------
    last_bar : ndarray of int64, shape (S,)
        Last bar on which a name is held: that of its last return, or of the date of
        its delisting where that is later; -1 for a name without either. Between the two
        it is held at its last price. ``run_book`` pays on the bar after it.
    delisting_return : ndarray of float64, shape (S,)
        From the table of delistings; NaN where it has none, which settles a name that
        ends before the panel at its last price.
    """

    last_bar: npt.NDArray[np.int64]
    delisting_return: npt.NDArray[np.float64]


def panel_settlement(
    panel: Panel,
    returns: npt.NDArray[np.floating],
    delistings: pd.DataFrame | None = None,
) -> Settlement:
    """Find where the names of a panel end.

    Parameters
    ----------
    panel : Panel
    returns : ndarray, shape (T, S)
        Of the panel.
    delistings : DataFrame, optional
        symbol, date (of the last trading day), return; see
        ``labels.delisting.read_delistings``. Other symbols are left out. A name whose
        date is the panel's last or later is not settled on the panel.

    Returns
    -------
    Settlement

    Raises
    ------
    UserError
        A symbol has returns after the date of its delisting.
    """
    bars = np.arange(panel.n_bars)[:, None]
    known = np.isfinite(returns)
    last = np.where(known, bars, -1).max(axis=0, initial=-1).astype(np.int64)
    paid = np.full(panel.n_symbols, np.nan)
    if delistings is None:
        return Settlement(last, paid)
    rows = delistings[delistings["symbol"].isin(panel.symbols)]
    names = panel.symbol_positions(rows["symbol"].to_numpy(object))
    dates = rows["date"].to_numpy("M8[s]").astype("M8[D]")
    ends = np.searchsorted(panel.trading_dates, dates, side="right") - 1
    late = names[last[names] > ends]
    if len(late):
        raise UserError(
            f"data.labels.delistings: {panel.symbols[late[0]]} has bars after its "
            "delisting. Correct the date, or take the symbol off the table."
        )
    # as the labels do: nobody is paid before the date that the table tells
    last[names] = np.maximum(last[names], ends)
    gone = ends < panel.n_bars - 1
    paid[names[gone]] = rows["return"].to_numpy(np.float64)[gone]
    return Settlement(last, paid)
