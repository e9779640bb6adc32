"""Served scores: a promoted version's score of every cell of some bars."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ranking_pipeline.errors import UserError
from ranking_pipeline.models.assemble import locate
from ranking_pipeline.models.serving.joins import joined
from ranking_pipeline.models.serving.known_names import check_names
from ranking_pipeline.models.serving.parts import PartScores, table_factors
from ranking_pipeline.models.serving.rows import served_rows
from ranking_pipeline.panel import OHLCV, Panel
from ranking_pipeline.storage import TableHandle

if TYPE_CHECKING:
    from ranking_pipeline.models.promoted import Promoted

Bars = npt.NDArray[np.signedinteger]
Matrix = npt.NDArray[np.float64]


def served_scores(
    promoted: Promoted,
    panel: Panel,
    features: TableHandle | None,
    bars: Bars,
    threads: int,
) -> Matrix:
    """Score whole cross-sections; see :meth:`Promoted.scores` for all of it."""
    _require_bars(panel, bars)
    if not len(bars):
        return np.empty((0, panel.n_symbols))
    wanted, place = np.unique(bars, return_inverse=True)
    # no model is handed a bar after the last one that is asked for
    past = panel.cut(slice(0, int(wanted[-1]) + 1))
    check_names(promoted, past, wanted)
    find = _of_network if promoted.is_ranking_network else _of_parts
    return find(promoted, past, features, wanted, threads)[place]


def _of_parts(
    promoted: Promoted,
    panel: Panel,
    features: TableHandle | None,
    bars: Bars,
    threads: int,
) -> Matrix:
    """Scores (n, S) of the models of the store, joined."""
    served = served_rows(panel, features, bars, table_factors(promoted))
    scores = PartScores(promoted, served, threads)
    table = joined(promoted, scores, served.plain)
    found = np.full((len(bars), panel.n_symbols), np.nan)
    cells, symbols = locate(panel, table, "scores")
    found[np.searchsorted(bars, cells), symbols] = table["score"].to_numpy()
    return found


def _of_network(
    promoted: Promoted,
    panel: Panel,
    features: TableHandle | None,
    bars: Bars,
    threads: int,
) -> Matrix:
    """Scores (n, S) of a ranking network, which looks at bars alone."""
    from ranking_pipeline.learning.device import torch_threads
    from ranking_pipeline.ranking.ranker_scores import score_panel

    ranker = promoted.load_ranker()
    fields = [panel.fields.index(name) for name in OHLCV]
    found = np.full((len(bars), panel.n_symbols), np.nan)
    with torch_threads(threads):
        for place, bar in enumerate(bars):
            first = max(0, int(bar) + 1 - ranker.spec.bars_required)
            past = panel.cut(slice(first, int(bar) + 1))
            cells = np.zeros((past.n_bars, past.n_symbols), dtype=np.bool_)
            cells[-1] = past.tradable[:, -1]
            found[place] = score_panel(ranker, past.values[:, :, fields], cells)[-1]
    return found


def _require_bars(panel: Panel, bars: Bars) -> None:
    wrong = bars[(bars < 0) | (bars >= panel.n_bars)]
    if len(wrong):
        raise UserError(
            f"bar {wrong[0]} is not on the panel, whose {panel.n_bars} bars count from "
            "0; give positions on its time axis."
        )
