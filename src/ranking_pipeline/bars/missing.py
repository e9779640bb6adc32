"""Missing share: which part of its bars each sector lacks, period by period."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ranking_pipeline.bars.security_master import UNKNOWN_SECTOR
from ranking_pipeline.panel import Panel

MOST_PERIODS = 24


def missing_share(panel: Panel) -> pd.DataFrame:
    """Share of the bars that symbols lack between their first and their last one.

    Parameters
    ----------
    panel : Panel

    Returns
    -------
    DataFrame
        Index: sectors; columns: first date of each of at most 24 periods of equal
        length; NaN where a sector has no symbol alive.
    """
    present = panel.present
    seen = np.maximum.accumulate(present, axis=1)
    coming = np.maximum.accumulate(present[:, ::-1], axis=1)[:, ::-1]
    alive = seen & coming
    starts = np.unique(
        np.linspace(0, panel.n_bars, MOST_PERIODS + 1).astype(np.intp)[:-1]
    )
    shares = {}
    for code, name in enumerate([*panel.sector_names, UNKNOWN_SECTOR]):
        wanted = -1 if code == len(panel.sector_names) else code
        own = panel.sectors == wanted
        expected = np.add.reduceat((alive & own).sum(axis=0), starts)
        there = np.add.reduceat((present & alive & own).sum(axis=0), starts)
        share = 1.0 - there / np.maximum(expected, 1)
        shares[name] = np.where(expected > 0, share, np.nan)
    periods = [str(panel.trading_dates[start]) for start in starts]
    table = pd.DataFrame(shares, index=periods).T
    return table.dropna(how="all")
