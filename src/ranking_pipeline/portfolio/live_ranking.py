"""Live ranking: the whole universe at the last bar, in the order of the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.panel import Panel
from ranking_pipeline.portfolio.coverage import coverage_exclusions
from ranking_pipeline.portfolio.prediction_config import PredictionConfig
from ranking_pipeline.ranking.exclusion import Exclusion
from ranking_pipeline.row_ranks import row_ranks

if TYPE_CHECKING:
    from ranking_pipeline.ranking.universe import UniverseRanking

TYPES = {
    "rank": "Int32",
    "score": "float32",
    "percentile": "float64",
    "signal": "float64",
}
COLUMNS = (
    "timestamp", "asof_date", "symbol", "rank", "score", "percentile", "signal", "leg",
    "excluded", "reason",
)  # fmt: skip


def live_ranking(
    panel: Panel,
    scores: npt.NDArray[np.floating],
    how: PredictionConfig,
    refusal: Exclusion | None = None,
) -> pd.DataFrame:
    """Rank every symbol of the panel at its last bar.

    Parameters
    ----------
    panel : Panel
    scores : ndarray, shape (S,)
        Of the last bar.
    how : PredictionConfig
    refusal : Exclusion, optional
        Why no symbol at all may be ranked.

    Returns
    -------
    DataFrame
        One row per symbol: ``timestamp``, the END of the last bar, and ``asof_date``,
        its trading date; ``rank`` from 1 for the highest score, ``percentile``
        ``(r - 0.5) / n`` of the average rank r from below, ``signal`` its probit within
        ±3 (the signals sum to zero), ``leg`` of the two tails, and for a symbol that is
        not ranked the code ``excluded`` with its ``reason``. Ranked symbols first.
    """
    from ranking_pipeline.ranking.universe import TailRule, rank_symbols

    last = panel.n_bars - 1
    every = np.arange(panel.n_symbols)
    exclusions: dict[str, Exclusion] = (
        dict.fromkeys(panel.symbols, refusal)
        if refusal
        else coverage_exclusions(
            panel, last, every, how.sequence_length, how.min_data_coverage
        )
    )
    kept = [place for place, name in enumerate(panel.symbols) if name not in exclusions]
    rule = TailRule(how.live.tail_share, how.live.tail_share, how.live.min_universe)
    names = [panel.symbols[place] for place in kept]
    ranking = rank_symbols(names, scores[kept].astype(np.float32), exclusions, rule)
    rows = [*_ranked(ranking), *_left_out(ranking.reason_codes, ranking.excluded)]
    stamp = pd.Timestamp(panel.timestamps[last], tz="UTC").as_unit("ns")
    frame = pd.DataFrame(rows, columns=list(COLUMNS[2:])).astype(TYPES)
    frame.insert(0, "timestamp", pd.DatetimeIndex([stamp] * len(frame)))
    frame.insert(1, "asof_date", str(panel.trading_dates[last]))
    return frame


def _ranked(ranking: UniverseRanking) -> list[tuple[object, ...]]:
    ordered = np.array([ranking.scores[name] for name in ranking.rankings])
    percentiles = (row_ranks(ordered[None])[0] - 0.5) / max(len(ordered), 1)
    legs = dict.fromkeys(ranking.long_symbols, "long")
    legs |= dict.fromkeys(ranking.short_symbols, "short")
    return [
        (
            name, place, ranking.scores[name], percentile, ranking.signals[name],
            legs.get(name, ""), "", "",
        )
        for place, (name, percentile) in enumerate(
            zip(ranking.rankings, percentiles.tolist(), strict=True), 1
        )
    ]  # fmt: skip


def _left_out(
    codes: Mapping[str, str], reasons: Mapping[str, str]
) -> list[tuple[object, ...]]:
    nothing = (None, np.nan, np.nan, np.nan, "")
    return [(name, *nothing, codes[name], reasons[name]) for name in sorted(codes)]
