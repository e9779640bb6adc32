"""Duplicates: rows that share one symbol and one bar."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from ranking_pipeline.bars.rules import RULE_CODE, Array, Verdict


def judge_duplicates(
    cells: npt.NDArray[np.int64], values: Mapping[str, Array], *, keep_last: bool
) -> Verdict:
    """Judge sound rows that share symbol and bar with others.

    Equal rows are merged into the first; where values differ no row is believed, or,
    with ``keep_last``, the last one in source order. NaN equals NaN.

    Parameters
    ----------
    cells : ndarray of int, shape (n,)
        Symbol and bar of each row as one number, rows in source order.
    values : mapping of ndarray, each of shape (n,)
        What the rows hold.
    keep_last
        Whether the last of conflicting rows is kept.

    Returns
    -------
    ndarray of int8, shape (n,)
        Position in ``ROW_RULES``; 0 is a row that is kept.
    """
    order = np.argsort(cells, kind="stable")
    first = np.append(True, np.diff(cells[order]) != 0)
    group = np.cumsum(first) - 1
    leader = order[np.flatnonzero(first)[group]]
    differs = np.zeros(len(cells), dtype=bool)
    for column in values.values():
        here, there = column[order], column[leader]
        differs |= (here != there) & ~(np.isnan(here) & np.isnan(there))
    conflict = np.bincount(group, weights=differs)[group] > 0
    last = np.append(first[1:], True)
    spared = last if keep_last else np.zeros(len(cells), dtype=bool)
    verdict = np.zeros(len(cells), dtype=np.int8)
    verdict[order[conflict & ~spared]] = RULE_CODE["conflicting_duplicate"]
    verdict[order[~conflict & ~first]] = RULE_CODE["exact_duplicate"]
    return verdict
