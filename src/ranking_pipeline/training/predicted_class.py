"""Predicted class: the column ``prediction`` of the table of predictions."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ranking_pipeline.training.fit import PROBABILITIES


def with_prediction(predictions: pd.DataFrame) -> pd.DataFrame:
    """Add the most probable class of each row.

    Parameters
    ----------
    predictions : DataFrame, shape (n, columns)
        With the probabilities of short, neutral and long.

    Returns
    -------
    DataFrame
        With ``prediction``: -1, 0 or 1 (a binary target has no -1), the lower one where
        two are as probable; null where the row has no probabilities.
    """
    chances = predictions[list(PROBABILITIES)].to_numpy(dtype=np.float32)
    known = np.isfinite(chances)
    best = np.argmax(np.where(known, chances, -np.inf), axis=1) - 1
    unknown = ~known.any(axis=1)
    column = pd.arrays.IntegerArray(best.astype(np.int8), unknown)
    return predictions.assign(prediction=column)
