"""Train, validation and test blocks, and folds inside them, purged by label end."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.errors import UserError

NAMES = ("train", "validation", "test")
MIN_BLOCK_BARS = 2

BoolArray = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Block:
    """Contiguous bars, both ends included; ``first`` and ``last`` in ISO 8601, UTC."""

    first: str
    last: str
    first_bar: int
    last_bar: int


@dataclass(frozen=True)
class Splits:
    """Three contiguous blocks that cover all bars.

    Attributes
    ----------
    train, validation, test : Block
    n_bars : int
    embargo_bars : int
        Bars after a label's end that stay free before the next block.
    timestamps_sha256 : str
        Digest of the time axis for which the splits were made.
    """

    train: Block
    validation: Block
    test: Block
    n_bars: int
    embargo_bars: int
    timestamps_sha256: str

    def block(self, name: str) -> Block:
        """Look up the block ``train``, ``validation`` or ``test``."""
        if name not in NAMES:
            raise UserError(f"splits: no block {name!r}; there are {', '.join(NAMES)}")
        found: Block = getattr(self, name)
        return found

    def inside(self, name: str, bars: npt.NDArray[Any]) -> BoolArray:
        """Tell which rows are decided inside a block, whenever their label ends."""
        block = self.block(name)
        return np.asarray((bars >= block.first_bar) & (bars <= block.last_bar))

    def mask(
        self, name: str, bars: npt.NDArray[Any], label_end: npt.NDArray[Any]
    ) -> BoolArray:
        """Tell which rows of a target belong to a block.

        Parameters
        ----------
        name : str
        bars, label_end : ndarray of int, shape (n,)
            Bar of the decision and bar at which its label is known, -1 for never.

        Returns
        -------
        ndarray of bool, shape (n,)
            Decided inside the block, and known inside it with ``embargo_bars`` to spare
            (none needed in the last block). Rows whose label is never known are out.
        """
        block = self.block(name)
        spare = 0 if name == NAMES[-1] else self.embargo_bars
        known = (label_end >= 0) & (label_end + spare <= block.last_bar)
        return np.asarray(self.inside(name, bars) & known)

    def check(self, timestamps: npt.NDArray[np.datetime64]) -> None:
        """Refuse another time axis than the one the splits were made for.

        Raises
        ------
        UserError
        """
        if _digest(timestamps) != self.timestamps_sha256:
            raise UserError(
                f"splits: made for another time axis of {self.n_bars} bars, the panel "
                f"has {len(timestamps)}; run data_preparation again"
            )

    def to_dict(self) -> dict[str, Any]:
        """Give the splits as plain values for JSON."""
        blocks = {name: dict(vars(self.block(name))) for name in NAMES}
        return {
            **blocks,
            "n_bars": self.n_bars,
            "embargo_bars": self.embargo_bars,
            "timestamps_sha256": self.timestamps_sha256,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Splits:
        """Read what :meth:`to_dict` made.

        Raises
        ------
        UserError
            When keys are missing or unknown, or the blocks are not contiguous.
        """
        try:
            blocks = {name: Block(**values[name]) for name in NAMES}
            splits = cls(**{**values, **blocks})
        except (KeyError, TypeError) as error:
            raise UserError(
                f"splits: not a table of splits ({error}); run data_preparation again"
            ) from error
        firsts = [splits.block(name).first_bar for name in NAMES] + [splits.n_bars]
        lasts = [-1] + [splits.block(name).last_bar for name in NAMES]
        if any(first != last + 1 for first, last in zip(firsts, lasts, strict=True)):
            raise UserError("splits: the blocks do not cover the bars without a gap")
        return splits


def make_splits(
    timestamps: npt.NDArray[np.datetime64],
    train_share: float,
    validation_share: float,
    embargo_bars: int,
) -> Splits:
    """Cut the time axis into train, validation and test.

    Parameters
    ----------
    timestamps : ndarray of datetime64, shape (T,)
        UTC, strictly increasing.
    train_share, validation_share : float
        Shares of the bars; the test takes the rest.
    embargo_bars : int

    Raises
    ------
    UserError
        For shares that leave a block out, or too few bars.
    """
    problem = _share_problem(train_share, validation_share, embargo_bars)
    if problem:
        raise UserError(problem)
    n_bars = len(timestamps)
    second = round(n_bars * train_share)
    third = round(n_bars * (train_share + validation_share))
    edges = (0, second, third, n_bars)
    smallest = min(b - a for a, b in pairwise(edges))
    needed = MIN_BLOCK_BARS + embargo_bars
    if smallest < needed:
        raise UserError(
            f"splits: {n_bars} bars leave a block of {smallest}; each needs {needed}. "
            "Give more bars, other shares or a shorter embargo"
        )
    train, validation, test = (
        Block(_iso(timestamps[a]), _iso(timestamps[b - 1]), a, b - 1)
        for a, b in pairwise(edges)
    )
    digest = _digest(timestamps)
    return Splits(train, validation, test, n_bars, embargo_bars, digest)


def _share_problem(train: float, validation: float, embargo: int) -> str | None:
    if not (train > 0 and validation > 0 and train + validation < 1):
        return (
            f"splits: train_share {train} and validation_share {validation} must be "
            "above 0 and leave a part for the test"
        )
    if embargo < 0:
        return f"splits: embargo_bars {embargo} is negative; give 0 or more"
    return None


def _iso(timestamp: np.datetime64) -> str:
    return pd.Timestamp(timestamp).tz_localize("UTC").isoformat()


def _digest(timestamps: npt.NDArray[np.datetime64]) -> str:
    nanoseconds = timestamps.astype("datetime64[ns]").astype("<i8")
    return hashlib.sha256(nanoseconds.tobytes()).hexdigest()


def purged_folds(
    bars: npt.NDArray[Any],
    label_end: npt.NDArray[Any],
    n_folds: int,
    embargo_bars: int,
) -> list[tuple[Rows, Rows]]:
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
    unique = np.unique(bars)
    if n_folds < 1 or len(unique) < MIN_BLOCK_BARS * (n_folds + 1):
        raise UserError(
            f"folds: {n_folds} folds need at least {MIN_BLOCK_BARS} bars in each of "
            f"{n_folds + 1} blocks; there are {len(unique)} bars. Use fewer folds"
        )
    folds = []
    for number, block in enumerate(np.array_split(unique, n_folds + 1)[1:], start=1):
        known = (label_end >= 0) & (label_end + embargo_bars < block[0])
        train = np.flatnonzero((bars < block[0]) & known)
        if not len(train):
            raise UserError(
                f"folds: no label of fold {number} of {n_folds} is known "
                f"{embargo_bars} bars before its test begins. Use fewer folds, a "
                "shorter horizon or embargo, or more bars"
            )
        test = np.flatnonzero((bars >= block[0]) & (bars <= block[-1]))
        folds.append((train, test))
    return folds
