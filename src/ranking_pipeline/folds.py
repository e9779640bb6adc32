"""Folds: training and test rows, purged by label end and embargoed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import Any

import numpy as np
import numpy.typing as npt

from ranking_pipeline.errors import UserError

MIN_BLOCK_BARS = 2

BoolArray = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.intp]
Fold = tuple[Rows, Rows]


def clear_of_block(
    bars: npt.NDArray[Any],
    label_end: npt.NDArray[Any],
    first: int,
    last: int,
    embargo_bars: int,
) -> BoolArray:
    """Tell which rows may be trained on beside one block of test bars.

    Parameters
    ----------
    bars, label_end : ndarray of int, shape (n,)
        Bar of the decision and bar at which its label is known, -1 for never.
    first, last : int
        Bars of the test block, both included.
    embargo_bars : int
        Bars that stay free between the end of a label and the next decision.

    Returns
    -------
    ndarray of bool, shape (n,)
        Rows whose label is known ``embargo_bars`` before the block begins, and rows
        decided ``embargo_bars`` after the last label of the block is known. No other
        row can do: the interval from its decision to its label's end meets that of a
        test row. Features may look back into the block; that is no leak.

    References
    ----------
    López de Prado (2018), chapter 7.
    """
    tested = (bars >= first) & (bars <= last)
    known_at = max(last, int(label_end[tested].max(initial=last)))
    before = label_end + embargo_bars < first
    after = bars > known_at + embargo_bars
    return np.asarray((label_end >= 0) & (before | after))


def purged_folds(
    bars: npt.NDArray[Any],
    label_end: npt.NDArray[Any],
    n_folds: int,
    embargo_bars: int,
) -> list[Fold]:
    """Make expanding walk-forward folds over unique bars, purged by label end.

    Parameters
    ----------
    bars, label_end : ndarray of int, shape (n,)
        In any order; a label_end of -1 (never known) is not trained on.
    n_folds : int
        The unique bars are cut into ``n_folds`` + 1 blocks of nearly equal length; fold
        k tests block k + 1.
    embargo_bars : int

    Returns
    -------
    list of (train_rows, test_rows)
        Positions of rows. A fold trains on the rows of earlier bars whose
        label_end + embargo lies before the first test bar.

    Raises
    ------
    UserError
        When there are too few bars, or purging leaves a fold nothing to train on.
    """
    _require_rows(bars, label_end, embargo_bars)
    if n_folds < 1:
        raise UserError(f"folds: {n_folds} folds; give at least 1")
    blocks = _blocks(bars, n_folds + 1)[1:]
    folds = []
    for number, (first, last) in enumerate(blocks, start=1):
        clear = clear_of_block(bars, label_end, first, last, embargo_bars)
        train = np.flatnonzero(clear & (bars < first))
        _require_train(train, f"fold {number} of {n_folds}", embargo_bars)
        folds.append((train, np.flatnonzero((bars >= first) & (bars <= last))))
    return folds


def combinatorial_folds(
    bars: npt.NDArray[Any],
    label_end: npt.NDArray[Any],
    n_groups: int,
    n_test_groups: int,
    embargo_bars: int,
) -> Iterator[Fold]:
    """Make combinatorial purged folds: every choice of test groups among the groups.

    Parameters
    ----------
    bars, label_end : ndarray of int, shape (n,)
        In any order; a label_end of -1 (never known) is not trained on.
    n_groups : int
        Groups of nearly equal length into which the unique bars are cut.
    n_test_groups : int
        Groups tested together; 1 gives ordinary two-sided purged folds.
    embargo_bars : int

    Yields
    ------
    train_rows, test_rows
        Positions of rows; ``n_groups`` choose ``n_test_groups`` folds, in
        lexicographic order of the groups tested. Rows on both sides of a test block are
        trained on, clear of every one of them as in :func:`clear_of_block`. Training on
        the future of a test says how far a rule generalises over time, not what
        could have been traded.

    Raises
    ------
    UserError
        When there are too few bars, or purging leaves a fold nothing to train on.

    References
    ----------
    López de Prado (2018), chapter 12.
    """
    _require_rows(bars, label_end, embargo_bars)
    if not 1 <= n_test_groups < n_groups:
        raise UserError(
            f"folds: {n_test_groups} test groups of {n_groups} groups; give at least 1 "
            "and fewer than there are groups"
        )
    groups = _blocks(bars, n_groups)
    tested = [(bars >= first) & (bars <= last) for first, last in groups]
    clear = [clear_of_block(bars, label_end, *group, embargo_bars) for group in groups]
    for chosen in combinations(range(n_groups), n_test_groups):
        test = np.logical_or.reduce([tested[group] for group in chosen])
        clear_of_all = np.logical_and.reduce([clear[group] for group in chosen])
        train = np.flatnonzero(clear_of_all & ~test)
        _require_train(train, f"test groups {chosen} of {n_groups}", embargo_bars)
        yield train, np.flatnonzero(test)


def _blocks(bars: npt.NDArray[Any], n_blocks: int) -> list[tuple[int, int]]:
    """Cut the unique bars into blocks of nearly equal length: first and last bar."""
    unique = np.unique(bars)
    if len(unique) < MIN_BLOCK_BARS * n_blocks:
        raise UserError(
            f"folds: {n_blocks} blocks need at least {MIN_BLOCK_BARS} bars each; "
            f"there are {len(unique)} bars. Use fewer folds"
        )
    parts = np.array_split(unique, n_blocks)
    return [(int(part[0]), int(part[-1])) for part in parts]


def _require_rows(
    bars: npt.NDArray[Any], label_end: npt.NDArray[Any], embargo_bars: int
) -> None:
    if bars.shape != label_end.shape:
        raise UserError(
            f"folds: {len(bars)} bars but {len(label_end)} label ends; give one per row"
        )
    if embargo_bars < 0:
        raise UserError(
            f"folds: embargo_bars {embargo_bars} is negative; give 0 or more"
        )
    backwards = int(((label_end >= 0) & (label_end < bars)).sum())
    if backwards:
        raise UserError(
            f"folds: {backwards} labels end before their decision; label_end counts "
            "bars of the same axis as bars, -1 where a label is never known"
        )


def _require_train(train: Rows, where: str, embargo_bars: int) -> None:
    if not len(train):
        raise UserError(
            f"folds: no label of {where} is known {embargo_bars} bars away from its "
            "test. Use fewer folds, a shorter horizon or embargo, or more bars"
        )


@dataclass(frozen=True, eq=False)
class _PurgedSplitter:
    """What both splitters share: where the bars and label ends of the rows are."""

    bars: npt.NDArray[Any] | None = None
    label_end: npt.NDArray[Any] | None = None

    def _rows(self, X: Any, groups: Any) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        if groups is not None:
            pairs = np.asarray(groups)
            if pairs.ndim != 2 or pairs.shape[1] != 2:
                raise UserError(
                    f"{type(self).__name__}: groups have the shape {pairs.shape}; give "
                    "one row (bar, label_end) per sample"
                )
            bars, label_end = pairs[:, 0], pairs[:, 1]
        elif self.bars is None or self.label_end is None:
            raise UserError(
                f"{type(self).__name__}: give bars and label_end to the splitter, or "
                "groups of shape (n, 2) to split"
            )
        else:
            bars, label_end = np.asarray(self.bars), np.asarray(self.label_end)
        n_rows = X.shape[0] if hasattr(X, "shape") else len(X)
        if n_rows != len(bars):
            raise UserError(
                f"{type(self).__name__}: {n_rows} samples but {len(bars)} bars; give "
                "those of the very rows that are split"
            )
        return bars, label_end


@dataclass(frozen=True, eq=False, kw_only=True)
class PurgedWalkForward(_PurgedSplitter):
    """Expanding walk-forward folds as a scikit-learn splitter.

    Parameters
    ----------
    bars, label_end : ndarray of int, shape (n,), optional
        Of the rows to be split; instead of them ``split`` takes ``groups`` of
        shape (n, 2), which scikit-learn hands on as a splitter's metadata.
    n_folds, embargo_bars : int
        As in :func:`purged_folds`.

    Examples
    --------
    >>> import numpy as np
    >>> bars = np.arange(12)
    >>> folds = PurgedWalkForward(bars, bars + 2, n_folds=2, embargo_bars=0)
    >>> [(train.tolist(), test.tolist()) for train, test in folds.split(bars)]
    [([0, 1], [4, 5, 6, 7]), ([0, 1, 2, 3, 4, 5], [8, 9, 10, 11])]
    """

    n_folds: int
    embargo_bars: int

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Count the folds."""
        return self.n_folds

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[Fold]:
        """Yield the positions of the training and the test rows of each fold."""
        yield from purged_folds(*self._rows(X, groups), self.n_folds, self.embargo_bars)


@dataclass(frozen=True, eq=False, kw_only=True)
class CombinatorialPurged(_PurgedSplitter):
    """Combinatorial purged folds as a scikit-learn splitter.

    Parameters
    ----------
    bars, label_end : ndarray of int, shape (n,), optional
        As for :class:`PurgedWalkForward`.
    n_groups, n_test_groups, embargo_bars : int
        As in :func:`combinatorial_folds`.
    """

    n_groups: int
    n_test_groups: int
    embargo_bars: int

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Count the folds: ``n_groups`` choose ``n_test_groups``."""
        return comb(self.n_groups, self.n_test_groups)

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[Fold]:
        """Yield the positions of the training and the test rows of each fold."""
        rows = self._rows(X, groups)
        yield from combinatorial_folds(
            *rows, self.n_groups, self.n_test_groups, self.embargo_bars
        )

    def paths(self) -> Rows:
        """Put the folds together to backtests that each test every group once.

        Returns
        -------
        ndarray of int, shape (n_paths, n_groups)
            Number of the fold whose scores a path takes for a group; there are
            ``n_groups`` - 1 choose ``n_test_groups`` - 1 paths.
        """
        chosen = list(combinations(range(self.n_groups), self.n_test_groups))
        folds_of = [
            [fold for fold, groups in enumerate(chosen) if group in groups]
            for group in range(self.n_groups)
        ]
        return np.array(folds_of, dtype=np.intp).T
