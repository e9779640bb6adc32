"""Problem: one target's rows inside the train span, and how scores are measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from ranking_pipeline.evaluation.inference import block_length
from ranking_pipeline.evaluation.metrics import auc_skill, rank_ic
from ranking_pipeline.evaluation.over_time import time_series_auc_skill, time_series_ic
from ranking_pipeline.models.assemble import normal_scores
from ranking_pipeline.models.samples import Samples
from ranking_pipeline.panel import to_cross_sections
from ranking_pipeline.selection.shared_rows import SharedRows
from ranking_pipeline.splits import combinatorial_folds, purged_folds

Series = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]
Fold = tuple[Rows, Rows]
View = Literal["cross_section", "time_series"]


def view_of(n_symbols: int, min_symbols: int) -> View:
    """How a universe is looked at: over its symbols, or over time if they are few.

    Parameters
    ----------
    n_symbols : int
        Symbols of the panel.
    min_symbols : int
        Fewest symbols that make a bar count; a universe below it has no such bar.
    """
    return "cross_section" if n_symbols >= min_symbols else "time_series"


@dataclass(frozen=True)
class Problem:
    """Labelled train rows of one target.

    Attributes
    ----------
    target, task, kind : str
        As in the target manifest.
    horizon_bars, entry_lag_bars : int
    samples : Samples
        Labelled rows sorted by (bar, symbol); the target is on the learning scale,
        the features are as measured until :meth:`for_models`.
    outcome : ndarray of float64, shape (n,)
        The label as it is in the table.
    ranks : ndarray of float32, shape (n, F)
        Percentile rank of each feature within its bar, among all train rows of the bar;
        within its symbol, among all train bars, in the time-series view.
    n_cells : int
        Tradable cells of the same bars, labelled or not.
    embargo_bars : int
        Bars between the last label seen by a fit and the first bar it is tested on.
    min_symbols, min_per_class : int
        What makes a bar measurable; in the time-series view the fewest bars, and bars
        of each class, that make a symbol measurable.
    view : str
        ``cross_section``: symbols are compared within bars. ``time_series``: each of a
        handful of symbols is compared with itself over time, see :func:`view_of`.
    scaled : SharedRows of shape (n, F), or None
        Normal scores of ``ranks`` where they are known already; computed when needed
        otherwise.
    """

    target: str
    task: str
    kind: str
    horizon_bars: int
    entry_lag_bars: int
    samples: Samples
    outcome: Series
    ranks: npt.NDArray[np.float32]
    n_cells: int
    embargo_bars: int
    min_symbols: int
    min_per_class: int
    view: View = "cross_section"
    scaled: SharedRows | None = None

    @property
    def metric(self) -> str:
        """Name of what :meth:`measure` returns.

        ``rank_ic`` for returns and ``auc_skill`` (2 AUC - 1) for classes; over time
        ``time_series_ic`` and ``time_series_auc_skill``.
        """
        if self.view == "time_series":
            regression = self.task == "regression"
            return "time_series_ic" if regression else "time_series_auc_skill"
        return "rank_ic" if self.task == "regression" else "auc_skill"

    @property
    def block_bars(self) -> int:
        """Length of the blocks over which the metric is averaged before testing."""
        return block_length(self.entry_lag_bars, self.horizon_bars)

    def folds(self, n_folds: int) -> list[Fold]:
        """Purged expanding folds as (train rows, test rows)."""
        samples = self.samples
        return purged_folds(samples.bars, samples.label_end, n_folds, self.embargo_bars)

    def two_sided_folds(self, n_folds: int) -> list[Fold]:
        """Contiguous folds that train on both sides, purged and embargoed.

        A train row before the test block has its label known before the block begins;
        one after it begins after the last label of the block is known. Twice as many
        rows are compared as in expanding folds, which matters where a single symbol
        has to show its worth; it says nothing about trading through time.

        References
        ----------
        López de Prado (2018), chapter 7.
        """
        rows = self.samples
        return list(
            combinatorial_folds(
                rows.bars, rows.label_end, n_folds, 1, self.embargo_bars
            )
        )

    def measure(
        self, score: npt.NDArray[np.floating], rows: Rows | None = None
    ) -> Series:
        """Skill of a score per bar.

        Parameters
        ----------
        score : ndarray, shape (n,) or (len(rows),)
            NaN where a row has no score.
        rows : ndarray of int, optional
            Positions the score belongs to; all rows by default.

        Returns
        -------
        ndarray of float64, shape (T,), NaN where a bar cannot be measured.

        Notes
        -----
        In the time-series view a bar holds its share in a correlation (or 2 AUC - 1)
        over the measured bars, averaged over its symbols; the mean over the bars is
        the statistic, and its block means are tested like any others.
        """
        where = slice(None) if rows is None else rows
        measured, bars = np.unique(self.samples.bars[where], return_inverse=True)
        symbols = self.samples.symbols[where]
        shape = (len(measured), self.samples.shape[1])
        scores = to_cross_sections(score, bars, symbols, shape)
        outcomes = to_cross_sections(self.outcome[where], bars, symbols, shape)
        result = np.full(self.samples.shape[0], np.nan)
        result[measured] = self._skill(scores, outcomes)
        return result

    def _skill(
        self, scores: npt.NDArray[np.float64], outcomes: npt.NDArray[np.float64]
    ) -> Series:
        over_time = self.view == "time_series"
        if self.task == "regression":
            correlate = time_series_ic if over_time else rank_ic
            return correlate(scores, outcomes, self.min_symbols)
        negative = -1 if self.task == "three_class" else 0
        separate = time_series_auc_skill if over_time else auc_skill
        return separate(scores, outcomes, self.min_per_class, negative=negative)

    def for_models(self, names: Sequence[str]) -> Problem:
        """Keep the named features, as normal scores of their ranks within the bar.

        In the time-series view the features stay as measured: a bar has no ranks.

        What is to be learned is a place within the bar; the level that all symbols
        share says nothing about it. On simulated bars this lifts the rank IC of pooled
        models by a tenth (ridge) to a third (random forest).
        """
        places = {name: place for place, name in enumerate(self.samples.feature_names)}
        columns = [places[name] for name in names]
        whole = tuple(names) == self.samples.feature_names
        ranks = self.ranks if whole else self.ranks[:, columns]
        if self.view == "time_series":
            samples = self.samples.with_features(tuple(names))
            return replace(self, samples=samples, ranks=ranks)
        if self.scaled is None:
            scaled = np.asfortranarray(normal_scores(ranks))
        else:
            scaled = self.scaled.columns(columns)
        samples = replace(self.samples, features=scaled, feature_names=tuple(names))
        return replace(self, samples=samples, ranks=ranks, scaled=SharedRows(scaled))
