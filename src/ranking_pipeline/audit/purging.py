"""Checks of the splits: no label that is trained on reaches into what is tested."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ranking_pipeline.audit.check import Check, counted
from ranking_pipeline.splits import NAMES, Splits

Rows = npt.NDArray[np.intp]
Fold = tuple[npt.NDArray[Any], npt.NDArray[Any]]

CHECK = "no label of a training row reaches into the test"


def check_blocks(
    splits: Splits, bars: Rows, label_end: Rows, what: str = "blocks"
) -> Check:
    """Compare each row of a block with each row of the later ones.

    Parameters
    ----------
    splits : Splits
    bars, label_end : ndarray of int, shape (n,)
        Bar of the decision and bar at which its label is known, -1 for never.
    what : str

    Returns
    -------
    Check
        A pair is wrong when the earlier row's label, and the embargo after it, is not
        over before the later row's bar.
    """
    rows = [np.flatnonzero(splits.mask(name, bars, label_end)) for name in NAMES]
    pairs = [
        (rows[early], rows[late])
        for early in range(len(NAMES))
        for late in range(early + 1, len(NAMES))
    ]
    return check_folds(pairs, bars, label_end, splits.embargo_bars, what)


def check_folds(
    folds: Sequence[Fold],
    bars: Rows,
    label_end: Rows,
    embargo_bars: int,
    what: str = "folds",
) -> Check:
    """Compare each training row of each fold with each of its test rows.

    Parameters
    ----------
    folds : sequence of (train_rows, test_rows)
        Positions of rows; training rows may lie before and after the test rows.
    bars, label_end : ndarray of int, shape (n,)
        See :func:`check_blocks`.
    embargo_bars : int
        Bars kept free after a training label's end, and after a test label's end.
    what : str

    Returns
    -------
    Check
        A pair is wrong when the interval from bar to label end of the one meets that of
        the other, the embargo included, when the training label is never known, or when
        a row is on both sides.
    """
    compared = wrong = 0
    worst = ""
    for number, (train, test) in enumerate(folds, start=1):
        early, n_early = _distinct(bars[train], label_end[train])
        late, n_late = _distinct(bars[test], label_end[test])
        meets = _meets(early[:, None], late[None, :], embargo_bars)
        pairs = n_early[:, None] * n_late[None, :]
        compared, wrong = compared + int(pairs.sum()), wrong + int(pairs[meets].sum())
        if meets.any() and not worst:
            first, second = np.argwhere(meets)[0]
            worst = (
                f"{what} {number}: the training row of bar {early[first, 0]}, whose "
                f"label is known at bar {early[first, 1]}, meets the test row of bar "
                f"{late[second, 0]} (embargo {embargo_bars})"
            )
    return counted(CHECK, what, "pairs", compared, wrong, worst)


def _distinct(bars: Rows, ends: Rows) -> tuple[Rows, npt.NDArray[np.int64]]:
    """Give the distinct (bar, end) of rows, and how many rows each stands for."""
    pairs = np.stack([bars, ends], axis=1)
    kinds, counts = np.unique(pairs, axis=0, return_counts=True)
    return kinds, counts.astype(np.int64)


def _meets(early: Rows, late: Rows, embargo: int) -> npt.NDArray[np.bool_]:
    """Tell whether the spans of training rows meet those of test rows; (..., 2) each."""
    start, end = early[..., 0], early[..., 1]
    test_start = late[..., 0]
    test_end = np.maximum(late[..., 1], test_start)  # an unknown label has no span
    before = (end >= 0) & (end + embargo < test_start) & (start < test_start)
    after = (end >= 0) & (start > test_end + embargo)
    return np.asarray(~(before | after))
