"""Units: scores of several models in one unit of payoff, so that they can be mixed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.training.calibration import shrunk_slope

Floats = npt.NDArray[np.float64]


def in_payoff_units(
    scores: pd.DataFrame, members: pd.DataFrame, *, pooled: bool
) -> pd.DataFrame:
    """Turn scores into the payoff that they stand for, as far as that was measured.

    Scores of a network or a booster that only ranks have no level and an arbitrary
    spread; those of a regression that stopped early, or that saw few rows, promise too
    little or too much. A score is therefore multiplied by the slope of the payoff on
    the score, measured on rows that the model did not learn from, and drawn to 1 (see
    :func:`ranking_pipeline.training.calibration.shrunk_slope`). Models of single symbols
    share one slope: each alone has too few rows. Each window of a walk-forward has its
    own, from before the months that it predicts.

    For regressions the slopes are near 1 (0.7 to 2.0 on the simulated market) and gain
    nothing: averages of two models moved by -0.001 to +0.004 of rank IC at one day, and
    by -0.002 to -0.005 at five. Models that only rank need it: without it the one with
    the larger spread decides alone.

    Parameters
    ----------
    scores : DataFrame
        timestamp, symbol, score.
    members : DataFrame
        Rows of the table of models whose scores they are.
    pooled : bool
        Scores of a pooled model are centred within the bar first: the payoff is
        measured against the bar's mean.

    Returns
    -------
    DataFrame
        The same rows. Scores without a calibration (classes, whose probabilities have a
        unit, and raw returns) stay as they are.
    """
    if not members["calibration_slope"].notna().any():
        return scores
    slopes = _slopes(members)
    values = scores["score"].to_numpy(dtype=np.float64)
    if pooled:
        values = values - scores.groupby("timestamp")["score"].transform("mean")
    return scores.assign(score=values * _per_cell(scores["timestamp"], slopes))


def _slopes(members: pd.DataFrame) -> pd.Series:
    """Slope by the first bar that it is for."""
    return pd.Series(
        {
            first: shrunk_slope(rows["calibration_slope"], rows["calibration_error"])
            for first, rows in members.groupby("predict_first", sort=True)
        }
    )


def _per_cell(timestamps: pd.Series, slopes: pd.Series) -> Floats:
    starts = pd.DatetimeIndex(slopes.index)
    place = starts.searchsorted(pd.DatetimeIndex(timestamps), side="right") - 1
    return np.asarray(slopes.to_numpy()[np.maximum(place, 0)], dtype=np.float64)
