"""Assembling: features and labels of one target, aligned with their panel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.errors import UserError
from ranking_pipeline.models.learning_target import learning_target
from ranking_pipeline.models.samples import Samples
from ranking_pipeline.panel import Panel
from ranking_pipeline.row_ranks import Groups

Positions = npt.NDArray[np.intp]
UNKNOWN = -1  # label_end of a label that is never known


def assemble(
    panel: Panel,
    features: pd.DataFrame,
    labels: pd.DataFrame,
    target: str,
    task: str,
    feature_names: Sequence[str],
    *,
    kind: str = "cs_gauss",
) -> Samples:
    """Rows of one learning problem: every tradable cell that has features.

    Parameters
    ----------
    panel : Panel
    features : DataFrame
        ``timestamp``, ``symbol`` and the named factors, one row per cell, any order.
    labels : DataFrame
        ``timestamp``, ``symbol``, ``<target>`` and ``<target>__end``.
    target : str
    task : str
        ``regression``, ``binary`` or ``three_class``.
    feature_names : sequence of str
        Columns of the result, in this order.
    kind : str
        Learning target of a regression, see
        :func:`ranking_pipeline.models.learning_target.learning_target`.

    Returns
    -------
    Samples
        Sorted by (bar, symbol). A cell without a label has a NaN target and a label end
        of -1.

    Raises
    ------
    UserError
        When a column is missing, a key is repeated or not in the panel, or a label is
        known at a bar that is not after its own: that would be a leak.
    """
    rows = unlabelled(panel, features, task, feature_names)
    _require(labels, ("timestamp", "symbol", target, f"{target}__end"), "labels")
    cells = rows.bars.astype(np.int64) * panel.n_symbols + rows.symbols
    values, label_end = _labels_of(panel, labels, target, cells)
    _check_label_end(values, label_end, rows.bars, target)
    return replace(
        rows,
        target=learning_target(values, rows.bars, task, kind),
        label_end=label_end,
    )


def unlabelled(
    panel: Panel, features: pd.DataFrame, task: str, feature_names: Sequence[str]
) -> Samples:
    """Rows to be scored: as of :func:`assemble`, with labels that are not known.

    Raises
    ------
    UserError
        When a column is missing, or a key is repeated or not in the panel.
    """
    names = tuple(feature_names)
    _require(features, ("timestamp", "symbol", *names), "features")
    cells, order = _cells(panel, features, "features")
    bars, symbols = np.divmod(cells, panel.n_symbols)
    matrix = features[list(names)].to_numpy(dtype=np.float32)
    tradable = panel.tradable[symbols, bars]
    if order is not None or not tradable.all():
        kept = np.flatnonzero(tradable)
        matrix = matrix[kept if order is None else order[kept]]
        bars, symbols = bars[kept], symbols[kept]
    return Samples(
        panel=panel,
        bars=bars,
        symbols=symbols,
        features=np.ascontiguousarray(matrix),
        feature_names=names,
        target=np.full(len(bars), np.nan, dtype=np.float32),
        label_end=np.full(len(bars), UNKNOWN, dtype=np.intp),
        task=task,
    )


def scaled_features(
    features: npt.NDArray[np.float32], bars: npt.NDArray[np.intp], scale: str
) -> npt.NDArray[np.float32]:
    """Put factors (n, F) of whole cross-sections on the scale that a model gets.

    Parameters
    ----------
    features : ndarray, shape (n, F)
    bars : ndarray of int, shape (n,)
    scale : str
        ``rank``: normal scores of the ranks within the bar; ``raw``: as they are.
    """
    if scale == "raw":
        return features
    return normal_scores(feature_ranks(features, bars))


def feature_ranks(
    features: npt.NDArray[np.float32], bars: npt.NDArray[np.intp]
) -> npt.NDArray[np.float32]:
    """Rank each feature within its bar.

    Parameters
    ----------
    features : ndarray, shape (n, F)
    bars : ndarray of int, shape (n,)
        Rows of one bar are one cross-section, which must be whole. With the symbols
        instead, each is ranked over its own bars.

    Returns
    -------
    ndarray of float32, shape (n, F)
        Average rank / (number known in the bar + 1); NaN where the feature is.
    """
    ranks = np.empty(features.shape, dtype=np.float32)
    groups = Groups.of(bars)
    for column in range(features.shape[1]):
        ranks[:, column] = groups.percentile_ranks(features[:, column])
    return ranks


def normal_scores(ranks: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Turn ranks in (0, 1) into the normal quantiles with that probability."""
    from scipy.special import ndtri

    return np.asarray(ndtri(ranks.astype(np.float64)), dtype=np.float32)


def locate(panel: Panel, frame: pd.DataFrame, what: str) -> tuple[Positions, Positions]:
    """Bar and symbol position of each row of a frame keyed (timestamp, symbol).

    Raises
    ------
    UserError
        Naming the first timestamp or symbol that the panel does not have.
    """
    bars = _bars(panel, frame["timestamp"], what)
    codes, distinct = pd.factorize(frame["symbol"])
    places = pd.Index(panel.symbols).get_indexer(pd.Index(distinct).astype(object))
    symbols = np.where(codes < 0, UNKNOWN, np.append(places, UNKNOWN)[codes])
    if (symbols < 0).any():
        missing = frame["symbol"].iloc[int(np.argmax(symbols < 0))]
        raise UserError(f"{what}: symbol {missing!r} is not in the panel.")
    return bars, symbols


def nanoseconds(timestamps: pd.Series) -> npt.NDArray[np.int64]:
    """UTC nanoseconds of an aware or naive (taken as UTC) column."""
    naive = timestamps.dt.tz_convert(None) if timestamps.dt.tz else timestamps
    return naive.to_numpy(dtype="datetime64[ns]").view("i8")


def _bars(panel: Panel, timestamps: pd.Series, what: str) -> Positions:
    axis, wanted = panel.timestamps.view("i8"), nanoseconds(timestamps)
    found = np.searchsorted(axis, wanted)
    missing = axis[np.minimum(found, len(axis) - 1)] != wanted
    if missing.any():
        first = timestamps.iloc[int(np.argmax(missing))]
        raise UserError(
            f"{what}: timestamp {first} is not in the panel; the two come from "
            "different runs. Run data_preparation again."
        )
    return found


def _cells(
    panel: Panel, frame: pd.DataFrame, what: str
) -> tuple[npt.NDArray[np.int64], Positions | None]:
    """Flat (bar, symbol) positions in ascending order, and the order that sorts them.

    The order is None where the frame is sorted already, which saves a copy.
    """
    bars, symbols = locate(panel, frame, what)
    cells = bars.astype(np.int64) * panel.n_symbols + symbols
    order = None
    if len(cells) and (np.diff(cells) <= 0).any():
        order = np.argsort(cells, kind="stable")
        cells = cells[order]
        repeated = np.flatnonzero(np.diff(cells) == 0)
        if len(repeated):
            row = frame.iloc[int(order[repeated[0]])]
            raise UserError(
                f"{what}: ({row['timestamp']}, {row['symbol']!r}) occurs twice or more."
            )
    return cells, order


def _labels_of(
    panel: Panel, labels: pd.DataFrame, target: str, cells: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float32], Positions]:
    """Value and end bar of the label of each wanted cell."""
    label_cells, order = _cells(panel, labels, "labels")
    values = labels[target].to_numpy(dtype=np.float32)
    ends = _end_bars(panel, labels[f"{target}__end"])
    if order is not None:
        values, ends = values[order], ends[order]
    if np.array_equal(label_cells, cells):
        return values, ends
    if not len(label_cells):
        empty = np.full(len(cells), np.nan, dtype=np.float32)
        return empty, np.full(len(cells), UNKNOWN, dtype=np.intp)
    found = np.minimum(np.searchsorted(label_cells, cells), len(label_cells) - 1)
    has_label = label_cells[found] == cells
    return (
        np.where(has_label, values[found], np.float32(np.nan)).astype(np.float32),
        np.where(has_label, ends[found], UNKNOWN).astype(np.intp),
    )


def _end_bars(panel: Panel, ends: pd.Series) -> Positions:
    known = ends.notna().to_numpy()
    result = np.full(len(ends), UNKNOWN, dtype=np.intp)
    result[known] = _bars(panel, ends[known], f"labels, column {ends.name}")
    return result


def _check_label_end(
    values: npt.NDArray[np.float32], label_end: Positions, bars: Positions, target: str
) -> None:
    known = np.isfinite(values)
    if (label_end[known] <= bars[known]).any():
        raise UserError(
            f"labels: {target} has values whose {target}__end is missing or not after "
            "their own bar. Rows could not be purged; run data_preparation again."
        )


def _require(frame: pd.DataFrame, columns: Sequence[str], what: str) -> None:
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise UserError(
            f"{what} has no column {', '.join(missing)}; "
            f"it has {', '.join(map(str, frame.columns[:20]))}."
        )
