"""Served rows: the whole cross-sections that all parts of a version score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.errors import UserError
from ranking_pipeline.models.assemble import nanoseconds, scaled_features, unlabelled
from ranking_pipeline.models.samples import Samples
from ranking_pipeline.panel import Panel
from ranking_pipeline.storage import TableHandle

_KEY = ("timestamp", "symbol")
_TASK = "regression"  # until a part says its own


@dataclass(frozen=True)
class ServedRows:
    """Rows of the wanted bars with the factors of all parts.

    Attributes
    ----------
    plain : Samples
        Every tradable cell of each bar, factors as they are.
    """

    plain: Samples

    @cached_property
    def ranked(self) -> Samples:
        """The same rows with normal scores of the ranks within the bar as factors."""
        scaled = scaled_features(self.plain.features, self.plain.bars, "rank")
        return replace(self.plain, features=scaled)

    def of(self, names: Sequence[str], scale: str, task: str) -> Samples:
        """Rows as one model gets them: its factors in its order, on its scale."""
        rows = self.plain if scale == "raw" else self.ranked
        return replace(rows.with_features(tuple(names)), task=task)


def served_rows(
    panel: Panel,
    features: TableHandle | None,
    bars: npt.NDArray[np.signedinteger],
    names: Sequence[str],
) -> ServedRows:
    """Read the rows of some bars.

    Parameters
    ----------
    panel : Panel
        With no bar after the last wanted one.
    features : TableHandle or None
        Needed where ``names`` are.
    bars : ndarray of int, shape (n,)
        Wanted bars, ascending.
    names : sequence of str
        Factors that any part needs; only these columns are read.

    Raises
    ------
    UserError
        When the table is not given, lacks a column or has no row of a bar.
    """
    if not names:
        return ServedRows(_bare(panel, bars))
    if features is None:
        raise UserError(
            f"the model needs the {len(names)} factors {', '.join(names[:5])} …, and no "
            "table of features is given: run kedro run --pipelines=data_preparation."
        )
    _require_columns(features, names)
    table = features.read([*_KEY, *names])
    wanted = panel.timestamps[bars].astype("datetime64[ns]").view("i8")
    table = table[np.isin(nanoseconds(table["timestamp"]), wanted)]
    rows = unlabelled(panel, table, _TASK, names)
    _require_bars(panel, bars, rows, features)
    return ServedRows(rows)


def _bare(panel: Panel, bars: npt.NDArray[np.signedinteger]) -> Samples:
    """Tradable cells of the bars, without factors."""
    places, symbols = np.nonzero(panel.tradable.T[bars])
    keys = pd.DataFrame(
        {
            "timestamp": panel.timestamps[bars[places]],
            "symbol": np.array(panel.symbols, dtype=object)[symbols],
        }
    )
    return unlabelled(panel, keys, _TASK, ())


def _require_columns(features: TableHandle, names: Sequence[str]) -> None:
    there = set(features.read_columns())
    missing = [name for name in names if name not in there]
    if missing:
        raise UserError(
            f"{features.path} has no column {', '.join(missing)}, which the model "
            "learned from: let data.features name it, and run kedro run "
            "--pipelines=data_preparation."
        )


def _require_bars(
    panel: Panel,
    bars: npt.NDArray[np.signedinteger],
    rows: Samples,
    features: TableHandle,
) -> None:
    """Refuse a table that ends before the panel does: its silence is no opinion."""
    traded = bars[panel.tradable[:, bars].any(axis=0)]
    lacking = np.setdiff1d(traded, rows.bars)
    if len(lacking):
        raise UserError(
            f"{features.path} has no row of {panel.timestamps[lacking[0]]} and "
            f"{len(lacking)} bars in all of those to be scored; it belongs to other "
            "bars. Run kedro run --pipelines=data_preparation."
        )
