"""TrainingData: the tables cut at the end of the train span."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.errors import UserError
from ranking_pipeline.models.assemble import (
    assemble,
    feature_ranks,
    nanoseconds,
    normal_scores,
)
from ranking_pipeline.models.learning_target import learning_target
from ranking_pipeline.models.samples import Samples
from ranking_pipeline.panel import Panel
from ranking_pipeline.selection.config import EstimationConfig
from ranking_pipeline.selection.described_targets import DescribedTargets
from ranking_pipeline.selection.problem import Problem, View, view_of
from ranking_pipeline.selection.shared_rows import SharedRows
from ranking_pipeline.splits import Splits

Ranks = npt.NDArray[np.float32]
VOLATILITY_GROUP = "volatility"


@dataclass(frozen=True)
class TrainingData(DescribedTargets):
    """The tables cut at the end of the train span: later bars are not in here.

    Attributes
    ----------
    panel : Panel
        Train bars only.
    features, labels : DataFrame
        Rows of the train bars, keyed (timestamp, symbol).
    targets : DataFrame
        The target manifest.
    feature_names : tuple of str
        As listed in the feature manifest, in its order.
    splits : Splits
    volatility_features : tuple of str
        Those whose group is ``volatility``.
    """

    panel: Panel
    features: pd.DataFrame
    labels: pd.DataFrame
    targets: pd.DataFrame
    feature_names: tuple[str, ...]
    splits: Splits
    volatility_features: tuple[str, ...]

    @classmethod
    def cut(
        cls,
        panel: Panel,
        features: pd.DataFrame,
        feature_manifest: pd.DataFrame,
        labels: pd.DataFrame,
        target_manifest: pd.DataFrame,
        splits: Splits,
    ) -> TrainingData:
        """Cut the tables at the end of the train span.

        Raises
        ------
        UserError
            When the feature table has a column that the manifest does not list: such a
            column may be a by-product of a label.
        """
        names = tuple(feature_manifest["name"])
        volatile = feature_manifest["group"] == VOLATILITY_GROUP
        _require_listed(features, names)
        _require_columns(features, names)
        last = splits.verify(panel.timestamps).train.last_bar
        train = panel.cut(slice(last + 1))
        return cls(
            train,
            _until(features, train),
            _until(labels, train),
            target_manifest,
            names,
            splits,
            tuple(feature_manifest.loc[volatile, "name"]),
        )

    @property
    def n_symbols(self) -> int:
        """Number of symbols of the panel."""
        return self.panel.n_symbols

    @property
    def label_columns(self) -> frozenset[str]:
        """Columns of the label table that hold the future."""
        return frozenset(self.labels.columns) - {"timestamp", "symbol"}

    def problem(self, target: str, config: EstimationConfig) -> Problem:
        """Labelled rows of a target whose labels end inside the train span.

        A universe smaller than ``config.min_symbols`` is looked at over time. Models
        then learn the label as it is, for a bar has no cross-section to place it in.
        """
        row = self.describe(target)
        view = view_of(self.n_symbols, config.min_symbols)
        samples = self._rows(target)
        first_bar = self.panel.n_bars - config.max_samples_per_symbol
        recent = samples.bars >= first_bar
        kept = recent & np.isfinite(samples.target)
        samples = samples.take(kept)
        window = int(row["entry_lag_bars"] + row["horizon_bars"])
        kind = config.learning_target if view == "cross_section" else "raw"
        learned = learning_target(samples.target, samples.bars, samples.task, kind)
        return Problem(
            target=target,
            task=samples.task,
            kind=str(row["kind"]),
            horizon_bars=int(row["horizon_bars"]),
            entry_lag_bars=int(row["entry_lag_bars"]),
            samples=replace(samples, target=learned, label_end=samples.bars + window),
            outcome=samples.target.astype(np.float64),
            ranks=self._ranks(view)[kept],
            n_cells=int(recent.sum()),
            embargo_bars=self.splits.embargo_bars,
            min_symbols=config.min_symbols,
            min_per_class=config.min_per_class,
            view=view,
            scaled=self._scaled(kept) if view == "cross_section" else None,
        )

    def _scaled(self, kept: npt.NDArray[np.bool_]) -> SharedRows:
        return SharedRows(self.normal_scores, np.flatnonzero(kept))

    def _ranks(self, view: View) -> Ranks:
        cross_section = view == "cross_section"
        return self.feature_ranks if cross_section else self.feature_ranks_over_time

    @cached_property
    def feature_ranks(self) -> Ranks:
        """Percentile ranks of the features within each bar, shape (n, F).

        Rows are all tradable cells with features, sorted by (bar, symbol); NaN where
        the feature is.
        """
        cells = self._cells
        return feature_ranks(cells.features, cells.bars)

    @cached_property
    def feature_ranks_over_time(self) -> Ranks:
        """Percentile ranks of the features among the bars of each symbol, shape (n, F).

        Rows as in :attr:`feature_ranks`. The ranks look ahead: they serve to screen
        features, never to fit a model.
        """
        cells = self._cells
        return feature_ranks(cells.features, cells.symbols)

    @cached_property
    def normal_scores(self) -> npt.NDArray[np.float32]:
        """Normal scores of :attr:`feature_ranks`, which models are fitted to."""
        ranks = self.feature_ranks
        scores = np.empty_like(ranks)
        for column in range(ranks.shape[1]):
            scores[:, column] = normal_scores(ranks[:, column])
        return scores

    @cached_property
    def _cells(self) -> Samples:
        """Every tradable cell with features, sorted by (bar, symbol), without labels.

        Gathered once: all targets have the same cells.
        """
        return self._assembled(str(self.targets["target"].iloc[0]), self.features)

    def _rows(self, target: str) -> Samples:
        """Every tradable cell with features; the target is the label as it is."""
        labelled = self._assembled(target, self.features[["timestamp", "symbol"]])
        cells = self._cells
        return replace(
            labelled, features=cells.features, feature_names=cells.feature_names
        )

    def _assembled(self, target: str, features: pd.DataFrame) -> Samples:
        return assemble(
            self.panel,
            features,
            self._known_labels(target),
            target,
            str(self.describe(target)["task"]),
            tuple(name for name in self.feature_names if name in features.columns),
            kind="raw",
        )

    def _known_labels(self, target: str) -> pd.DataFrame:
        """Key, label and end of a target, with labels past the train span removed."""
        end = f"{target}__end"
        missing = [name for name in (target, end) if name not in self.labels.columns]
        if missing:
            raise UserError(f"labels has no column {', '.join(missing)}")
        frame = self.labels[["timestamp", "symbol", target, end]].copy()
        axis = self.panel.timestamps.view("i8")
        bars = np.searchsorted(axis, nanoseconds(frame["timestamp"]))
        ends = np.full(len(frame), -1, dtype=np.intp)
        dated = frame[end].notna().to_numpy()
        ends[dated] = np.searchsorted(axis, nanoseconds(frame.loc[dated, end]))
        inside = dated & self.splits.mask("train", bars, ends)
        frame.loc[~inside, target] = np.nan
        frame.loc[~inside, end] = pd.NaT
        return frame


def _require_listed(features: pd.DataFrame, names: tuple[str, ...]) -> None:
    stray = sorted(set(features.columns) - {"timestamp", "symbol", *names})
    if stray:
        raise UserError(
            f"features has the columns {', '.join(map(str, stray))}, which "
            "feature_manifest does not list. What is not declared a feature may hold "
            "the future: list it with its lookback, or remove it."
        )


def _require_columns(features: pd.DataFrame, names: tuple[str, ...]) -> None:
    missing = sorted(set(names) - set(features.columns))
    if missing:
        raise UserError(
            f"features has no column {', '.join(map(str, missing))}, which "
            "feature_manifest lists; run data_preparation again."
        )


def _until(frame: pd.DataFrame, panel: Panel) -> pd.DataFrame:
    last = panel.timestamps[-1:].view("i8")[0]
    inside = nanoseconds(frame["timestamp"]) <= last
    kept: pd.DataFrame = frame[inside].reset_index(drop=True)
    return kept
