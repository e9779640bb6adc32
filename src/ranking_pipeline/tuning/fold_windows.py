"""Fold windows: spans inside the train block on which parameters are judged."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.errors import UserError
from ranking_pipeline.splits import Splits, purged_folds
from ranking_pipeline.training.window import Window


class FoldWindow(NamedTuple):
    """A fit and the bars that it is judged on.

    Attributes
    ----------
    window : Window
        What is fitted, and the bars that are predicted.
    first_bar, last_bar : int
        The predicted bars, both included.
    known_by : int
        Bar by which a label must be known to be judged on.
    """

    window: Window
    first_bar: int
    last_bar: int
    known_by: int


def fold_windows(
    timestamps: npt.NDArray[np.datetime64],
    splits: Splits,
    *,
    n_folds: int,
    estimate_share: float,
    validation_share: float,
    min_rows: int,
) -> tuple[tuple[FoldWindow, ...], FoldWindow]:
    """Cut the train block into folds to choose by and one span to estimate on.

    Parameters
    ----------
    timestamps : ndarray of datetime64, shape (T,)
    splits : Splits
    n_folds : int
        Expanding purged folds over the bars before the estimate.
    estimate_share : float
        Last share of the train block's bars, which no choice sees.
    validation_share, min_rows
        See :class:`ranking_pipeline.training.window.Window`.

    Returns
    -------
    folds : tuple of FoldWindow
    estimate : FoldWindow
        Fitted on all that was known before it. No label of the folds is known later
        than the embargo before its first bar, and none of its own after the block.

    Raises
    ------
    UserError
        When the train block is too short.
    """
    train, embargo = splits.train, splits.embargo_bars
    n_bars = train.last_bar - train.first_bar + 1
    cut = train.last_bar + 1 - max(1, round(n_bars * estimate_share))
    spans = [(cut, train.last_bar, train.last_bar - embargo)]
    bars = np.arange(train.first_bar, cut)
    for _, test in purged_folds(bars, bars, n_folds, embargo):
        spans.append((int(bars[test[0]]), int(bars[test[-1]]), cut - 1 - embargo))
    made = []
    for number, (first, last, known_by) in enumerate(spans):
        learned = (train.first_bar, first - 1 - embargo)
        if learned[1] <= learned[0]:
            raise UserError(
                f"tuning.folds {n_folds} and estimate_share {estimate_share:g} leave no "
                f"bars to learn from before bar {first}; use fewer folds or more bars"
            )
        window = Window(
            number=number,
            train_start=_iso(timestamps[learned[0]]),
            train_end=_iso(timestamps[learned[1]]),
            predict_start=_iso(timestamps[first]),
            predict_end=_iso(timestamps[last]),
            validation_share=validation_share,
            min_rows=min_rows,
        )
        made.append(FoldWindow(window, first, last, known_by))
    return tuple(made[1:]), made[0]


def _iso(timestamp: np.datetime64) -> str:
    return pd.Timestamp(timestamp).tz_localize("UTC").isoformat()
