"""Fold: a part of the train block that a model scores without having learned from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ranking_pipeline.errors import UserError
from ranking_pipeline.folds import BoolArray, Rows, combinatorial_folds
from ranking_pipeline.training.window import WindowBars


@dataclass(frozen=True)
class Fold:
    """One of several parts of equal length, in time, of the train block.

    Attributes
    ----------
    number
        Counts from 1.
    n_folds
    validation_share
        Share of the bars from the first row that is left to learn from to the end of
        its last label, the last ones of them, whose rows serve early stopping. The
        fold's own bars count in that span where they lie inside it, so that the part
        held out lies before the last fold and after every other, and a fold that covers
        it leaves fewer rows or none. A fold looks at nothing after the train block.
    """

    number: int
    n_folds: int
    validation_share: float

    def content(self) -> dict[str, Any]:
        """Give what a result depends on."""
        return dict(vars(self))

    def parted(
        self,
        bars: npt.NDArray[Any],
        label_end: npt.NDArray[Any],
        known: BoolArray,
        embargo_bars: int,
    ) -> tuple[Rows, Rows, Rows]:
        """Part the rows of the train block into those to fit, stop early on, and score.

        Parameters
        ----------
        bars, label_end : ndarray of int, shape (n,)
            Of all rows decided in the train block; -1 for a label that is never known.
        known : ndarray of bool, shape (n,)
            Rows whose label is known inside the train block: only they are learned from.
        embargo_bars : int

        Returns
        -------
        fit, held_out, scored : ndarray of int
            Positions of rows. Every row of the fold is scored, labelled or not. No
            label of the others meets one of the fold, and none that is fitted one that
            is stopped early on; see :func:`ranking_pipeline.folds.clear_of_block`.

        Raises
        ------
        UserError
            When there are too few bars, or purging leaves nothing to fit.
        """
        folds = combinatorial_folds(bars, label_end, self.n_folds, 1, embargo_bars)
        train, scored = list(folds)[self.number - 1]
        train = train[known[train]]
        fit, held_out = train, train[:0]
        if len(train):
            span = WindowBars(
                int(bars[train].min()),
                int(label_end[train].max()),
                int(bars[scored].min()),
                int(bars[scored].max()),
            )
            parts = span.parted(
                bars[train], label_end[train], self.validation_share, embargo_bars
            )
            fit, held_out = train[parts[0]], train[parts[1]]
        if not len(fit):
            raise UserError(
                f"fold {self.number} of {self.n_folds}: purging leaves no labelled row "
                "to fit. Lower model_training.ensembles.folds, shorten the horizon, or "
                "give more bars."
            )
        return fit, held_out, np.asarray(scored)
