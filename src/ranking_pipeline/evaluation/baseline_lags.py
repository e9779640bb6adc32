"""Baseline lags: what entering at once would have changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.evaluation.baselines import forward_returns
from ranking_pipeline.evaluation.measure import Row, Settings, measure
from ranking_pipeline.evaluation.model_scores import ModelScores
from ranking_pipeline.evaluation.outcomes import Outcome, block
from ranking_pipeline.panel import Panel

LAGS_SHOWN = (0, 1)
SPLITS = ("validation", "test")
SHOWN = (
    "n_bars", "rank_ic", "ic_t", "decile_spread_bps", "turnover", "gross_bps_per_bar",
    "net_bps_per_bar",
)  # fmt: skip


def baseline_lags(
    panel: Panel,
    splits: Mapping[str, Any],
    settings: Settings,
    returns: npt.NDArray[np.float64],
    references: Sequence[ModelScores],
) -> pd.DataFrame:
    """Measure scores on the return of one bar, entered at once and one bar later.

    Parameters
    ----------
    panel : Panel
    splits : mapping
        The document ``splits``.
    settings : Settings
    returns : ndarray, shape (T, S)
        Bar returns for the books.
    references : sequence of ModelScores
        Baselines and, for a simulated market, the oracle.

    Returns
    -------
    DataFrame
        model_id, kind, split, entry_lag_bars and the metrics in ``SHOWN``.
    """
    rows: list[Row] = []
    for lag in LAGS_SHOWN:
        data = next_bar(panel, lag)
        for split in SPLITS:
            where = block(data, split, splits)
            for scores in references:
                result = measure(
                    scores,
                    data,
                    where,
                    tradable=panel.tradable.T,
                    returns=returns,
                    settings=settings,
                )
                key: Row = {"model_id": scores.model_id, "kind": scores.kind}
                key |= {"split": split, "entry_lag_bars": lag}
                rows.append(key | {name: result.row[name] for name in SHOWN})
    return pd.DataFrame(rows)


def next_bar(panel: Panel, lag_bars: int) -> Outcome:
    """Lay out the return of the one bar after the entry as an outcome."""
    payoff = forward_returns(panel, lag_bars, 1)
    payoff[~panel.tradable.T] = np.nan
    bars = np.arange(panel.n_bars)[:, None]
    end = np.where(np.isfinite(payoff), bars + lag_bars + 1, -1)
    return Outcome(
        "next_bar", "regression", "forward_return", "next_bar", 1, lag_bars,
        payoff, end, payoff, end,
    )  # fmt: skip
