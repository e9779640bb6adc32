"""Rank average: the weighted mean of the ranks that several models give within a bar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.row_ranks import Groups
from ranking_pipeline.training.derived import without_chances
from ranking_pipeline.training.ensemble_weights import Floats, member_ranks

_KEY = ["timestamp", "symbol"]


@dataclass(frozen=True)
class MemberTable:
    """What the members of an ensemble say.

    Attributes
    ----------
    cells : DataFrame
        timestamp and symbol of the n cells that any member scores.
    ranks : ndarray of float64, shape (n, M)
        Percentile rank within the bar that each member gives a cell; 1/2 where it has
        no score.
    """

    cells: pd.DataFrame
    ranks: Floats

    def averaged(self, weights: Floats) -> pd.DataFrame:
        """Cells with the mean rank by ``weights`` (M,) as their score."""
        # Not a matrix product: its last bits would depend on the number of cells.
        score = np.einsum("nm,m->n", self.ranks, weights).astype(np.float32)
        return without_chances(self.cells, score)


def member_table(model_ids: Sequence[str], predictions: pd.DataFrame) -> MemberTable:
    """Lay the scores of some models side by side, as ranks.

    Parameters
    ----------
    model_ids : sequence of str, length M
    predictions : DataFrame
        timestamp, symbol, model_id, score; other models are left out.
    """
    own = predictions[predictions["model_id"].isin(list(model_ids))]
    own = own.astype({"symbol": "str", "model_id": "str"})
    wide = own.pivot(index=_KEY, columns="model_id", values="score")
    # A model that scored no row at all has no opinion anywhere.
    wide = wide.reindex(columns=list(model_ids))
    cells = wide.index.to_frame(index=False)
    codes: npt.NDArray[np.intp] = pd.factorize(cells["timestamp"])[0]
    bars = Groups.of(codes)
    ranks = [member_ranks(wide[name].to_numpy(), bars) for name in model_ids]
    return MemberTable(cells, np.column_stack(ranks))
