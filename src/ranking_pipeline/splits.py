"""Train, validation and locked test: three blocks of bars, purged by label end."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.errors import UserError
from ranking_pipeline.folds import (
    MIN_BLOCK_BARS,
    BoolArray,
    CombinatorialPurged,
    PurgedWalkForward,
    Rows,
    combinatorial_folds,
    purged_folds,
)

__all__ = [
    "NAMES",
    "Block",
    "CombinatorialPurged",
    "PurgedWalkForward",
    "Rows",
    "Splits",
    "combinatorial_folds",
    "make_splits",
    "purged_folds",
    "share_problem",
]

NAMES = ("train", "validation", "test")
# Key of the stored splits that nothing is computed from.
TRADING_DATES = "trading_dates"

BarsAndEnds = tuple[npt.NDArray[Any], npt.NDArray[Any]]


@dataclass(frozen=True)
class Block:
    """Contiguous bars, both ends included.

    Attributes
    ----------
    first, last : str
        Stamps of the first and the last bar in ISO 8601, UTC. The end of a bar may fall
        on the day after its trading date.
    first_bar, last_bar : int
        Positions on the time axis.
    """

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

    def verify(
        self,
        timestamps: npt.NDArray[np.datetime64],
        rows: Mapping[str, BarsAndEnds] | None = None,
    ) -> Self:
        """Check that the splits belong to a panel, and that no row crosses a block.

        Cheap enough for every place that reads the splits.

        Parameters
        ----------
        timestamps : ndarray of datetime64, shape (T,)
            Time axis of the panel.
        rows : mapping of str to (bars, label_end), optional
            The rows about to be used as each block, as for :meth:`mask`.

        Returns
        -------
        Splits
            Itself.

        Raises
        ------
        UserError
            When the blocks leave a gap or overlap, were made for another time axis or
            name other bars of it, or a row is decided outside its block or has a label
            that is not known inside it, ``embargo_bars`` before the next one begins.
        """
        self._require_contiguous()
        self.check(timestamps)
        for name in NAMES:
            self._require_stamps(name, timestamps)
        for name, (bars, label_end) in (rows or {}).items():
            self._require_inside(name, np.asarray(bars), np.asarray(label_end))
        return self

    def _require_contiguous(self) -> None:
        firsts = [self.block(name).first_bar for name in NAMES] + [self.n_bars]
        lasts = [-1] + [self.block(name).last_bar for name in NAMES]
        if any(first != last + 1 for first, last in zip(firsts, lasts, strict=True)):
            raise UserError("splits: the blocks do not cover the bars without a gap")
        if any(a >= b for a, b in pairwise(firsts)) or self.embargo_bars < 0:
            raise UserError(
                "splits: a block is empty or the embargo negative; run data_preparation "
                "again"
            )

    def _require_stamps(
        self, name: str, timestamps: npt.NDArray[np.datetime64]
    ) -> None:
        block = self.block(name)
        found = _iso(timestamps[block.first_bar]), _iso(timestamps[block.last_bar])
        if found != (block.first, block.last):
            raise UserError(
                f"splits: {name} is said to span {block.first} to {block.last}, but its "
                f"bars span {found[0]} to {found[1]}; run data_preparation again"
            )

    def _require_inside(
        self, name: str, bars: npt.NDArray[Any], label_end: npt.NDArray[Any]
    ) -> None:
        wrong = np.flatnonzero(~self.mask(name, bars, label_end))
        if len(wrong):
            block, row = self.block(name), wrong[0]
            raise UserError(
                f"splits: {len(wrong)} of {len(bars)} rows do not belong to {name}, "
                f"bars {block.first_bar} to {block.last_bar} with an embargo of "
                f"{self.embargo_bars}: the first is decided at bar {bars[row]} and its "
                f"label known at bar {label_end[row]}. Select rows with Splits.mask"
            )

    def check(self, timestamps: npt.NDArray[np.datetime64]) -> None:
        """Refuse another time axis than the one the splits were made for.

        Raises
        ------
        UserError
        """
        same_length = len(timestamps) == self.n_bars
        if not same_length or _digest(timestamps) != self.timestamps_sha256:
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

    def trading_dates(
        self, dates: npt.NDArray[np.datetime64]
    ) -> dict[str, dict[str, str]]:
        """First and last trading date of each block, for people.

        Parameters
        ----------
        dates : ndarray of datetime64[D], shape (T,)
            Trading date of each bar.
        """
        ends = {
            name: (self.block(name).first_bar, self.block(name).last_bar)
            for name in NAMES
        }
        return {
            name: {"first": str(dates[first]), "last": str(dates[last])}
            for name, (first, last) in ends.items()
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Splits:
        """Read what :meth:`to_dict` made; trading dates beside it are left out.

        Raises
        ------
        UserError
            When keys are missing or unknown, or the blocks are not contiguous.
        """
        try:
            blocks = {name: Block(**values[name]) for name in NAMES}
            own = {key: values[key] for key in values if key != TRADING_DATES}
            splits = cls(**{**own, **blocks})
            splits._require_contiguous()
        except (KeyError, TypeError) as error:
            raise UserError(
                f"splits: not a table of splits ({error}); run data_preparation again"
            ) from error
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
    problem = share_problem(train_share, validation_share, embargo_bars)
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


def share_problem(train: float, validation: float, embargo: int) -> str | None:
    """Say why these shares and this embargo make no splits, or None where they do."""
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
