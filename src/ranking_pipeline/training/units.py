"""Units: scores of several models in one unit of payoff, so that they can be mixed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.training.calibration import shrunk_slope

Floats = npt.NDArray[np.float64]


def in_payoff_units(
    scores: pd.DataFrame,
    members: pd.DataFrame,
    *,
    pooled: bool,
    beside: pd.DataFrame | None = None,
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

    One measured side is enough to convert both: a side without a calibration (its
    scores do not vary on the held-out rows, or there are too few of them) then has the
    slope to which the others are drawn, 1, and a pooled one is centred all the same. A
    score is worth what it says until something says otherwise, for every family puts
    its scores on the scale of the payoff that it learns. Left as they were, centred and
    uncentred scores would stand side by side in a bar.

    Parameters
    ----------
    scores : DataFrame
        timestamp, symbol, score.
    members : DataFrame
        Rows of the table of models whose scores they are.
    pooled : bool
        Scores of a pooled model are centred within the bar first: the payoff is
        measured against the bar's mean.
    beside : DataFrame, optional
        Rows of the models with whose scores they are mixed.

    Returns
    -------
    DataFrame
        The same rows. Where no side has a calibration (classes, whose probabilities
        have a unit, and raw returns), scores stay as they are.
    """
    if not (_is_measured(members) or (beside is not None and _is_measured(beside))):
        return scores
    slopes = _slopes(members)
    values = scores["score"].to_numpy(dtype=np.float64)
    if pooled:
        values = values - scores.groupby("timestamp")["score"].transform("mean")
    return scores.assign(score=values * _per_cell(scores["timestamp"], slopes))


def _is_measured(members: pd.DataFrame) -> bool:
    return bool(members["calibration_slope"].notna().any())


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
