"""Month world: what the monthly stages make of a panel, as cells at the as-of bars."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.audit.cuts import Cut
from ranking_pipeline.audit.futures import SECTORS_IF_NONE
from ranking_pipeline.audit.slices import spread
from ranking_pipeline.panel import Panel
from ranking_pipeline.portfolio.candidates.composite import COMPOSITES
from ranking_pipeline.portfolio.candidates.config import CandidateSelectionConfig
from ranking_pipeline.portfolio.candidates.garch import fit_months
from ranking_pipeline.portfolio.candidates.indicators import traded_closes
from ranking_pipeline.portfolio.candidates.months import TradeMonths
from ranking_pipeline.portfolio.candidates.scorecard import Mask, Volatilities
from ranking_pipeline.portfolio.candidates.sectors import known_sectors
from ranking_pipeline.portfolio.candidates.selection import (
    SelectedCandidates,
    select_candidates,
)
from ranking_pipeline.portfolio.candidates.volatility_requests import (
    OwnReturns,
    symbol_requests,
)

Values = npt.NDArray[np.float64]
Bars = npt.NDArray[np.intp]

# The indicators of the audit: short, for what they find does not matter.
WINDOWS = {"moving_average_bars": 15, "momentum_bars": 30}
SCORINGS = tuple(COMPOSITES)
TAIL_SHARE, LEAST_SECTOR_SIZE = 0.34, 2
EWMA_RETURNS, LEAST_RETURNS = 20, 100
NEVER = 1_000_000  # returns of which no slice has so many: the EWMA takes over


@dataclass(frozen=True)
class MonthWorld:
    """The months of a panel, and how its other futures are asked for the same ones.

    Attributes
    ----------
    panel : Panel
        As it is: its calendar says where the cells of a month stand.
    garch : bool
        Whether volatilities come from GARCH, which takes long, or from the EWMA.
    scoring : str
        How a composite score is made.
    """

    panel: Panel
    garch: bool = False
    scoring: str = SCORINGS[0]

    def selected(self, panel: Panel) -> SelectedCandidates:
        """Choose the candidates of every month of a panel or of another future of it."""
        config = self.config(panel)
        return select_candidates(panel, config, volatility_in_turn(config))

    def config(self, panel: Panel) -> CandidateSelectionConfig:
        """Parameters with which any sector has candidates.

        A panel that is cut off at the end of a month is asked for the month after it:
        whether a later day belongs to the old month is told by the calendar, not by it.
        """
        names = {one.name for one in known_sectors(panel.sector_names)}
        own = self.panel.trading_dates.astype("M8[M]")
        last = panel.n_bars - 1
        cut_at_end = last + 1 < len(own) and own[last + 1] != own[last]
        values: dict[str, Any] = {
            "sectors": ["all"],
            "sector_windows": dict.fromkeys(
                sorted(names | set(SECTORS_IF_NONE)), WINDOWS
            ),
            "first_month": None,
            "last_month": str(own[last] + 1) if cut_at_end else None,
            "slope_bars": 5,
            "volatility": {
                "solver": "own",
                "window_returns": NEVER,
                "min_returns": LEAST_RETURNS if self.garch else NEVER,
                "ewma_decay": 0.94,
                "ewma_min_returns": EWMA_RETURNS,
            },
            "weights": {"momentum": 0.5, "moving_average": 0.3, "volatility": 0.2},
            "scoring": self.scoring,
            "top_k_ratio": TAIL_SHARE,
            "bottom_k_ratio": TAIL_SHARE,
            "min_sector_size": LEAST_SECTOR_SIZE,
            "max_candidates": None,
        }
        return CandidateSelectionConfig.model_validate(values)

    def asof_bars(self, months: npt.ArrayLike) -> Bars:
        """Last bar before each month, by the calendar of the panel as it is.

        This is worked out here and not read off the tables, so that a table of
        candidates that know their own month does not decide what is compared.
        """
        first_days = np.asarray(months, dtype=str).astype("M8[M]").astype("M8[D]")
        return np.searchsorted(self.panel.trading_dates, first_days) - 1

    def cells(
        self, panel: Panel, table: pd.DataFrame, columns: Mapping[str, Values]
    ) -> Values:
        """Put columns of a table by month and symbol at the as-of bars: (S, T, K)."""
        bars = self.asof_bars(table["month"])
        symbols = panel.symbol_positions(table["symbol"].to_numpy(dtype=object))
        inside = (bars >= 0) & (bars < panel.n_bars)
        found = np.full((panel.n_symbols, panel.n_bars, len(columns)), np.nan)
        for place, values in enumerate(columns.values()):
            found[symbols[inside], bars[inside], place] = values[inside]
        return found

    def cuts(self, bars: Bars, count: int) -> list[Cut]:
        """Choose cuts: ends of months, the bars before them, and bars between.

        Parameters
        ----------
        bars : ndarray of int
            As-of bars of the months that are compared.
        count : int
        """
        kinds = (
            ("month end", bars),
            ("bar before the month end", bars[1:] - 1),
            ("inside the month", (bars[:-1] + bars[1:]) // 2),
        )
        reasons: dict[int, list[str]] = {}
        for place, (reason, places) in enumerate(kinds):
            share = -(-(count - place) // len(kinds))
            for bar in spread(places[places < self.panel.n_bars - 1], share):
                reasons.setdefault(int(bar), []).append(reason)
        return [Cut(bar, ", ".join(reasons[bar])) for bar in sorted(reasons)]


def volatility_in_turn(
    config: CandidateSelectionConfig,
) -> Callable[[Panel, TradeMonths, Mask], Volatilities]:
    """Measure volatilities here and now: each fit is shown all returns of the panel."""

    def measure(panel: Panel, months: TradeMonths, wanted: Mask) -> Volatilities:
        found, closes = Volatilities.unknown(wanted.shape), traded_closes(panel)
        for request in symbol_requests(panel, months, wanted, config.volatility):
            own = OwnReturns.of(closes[request.symbol])
            ends = own.counts(np.array(request.bars)) - 1
            path = fit_months(own.returns, ends, config.volatility)
            for name, values in vars(found).items():
                values[list(request.months), request.symbol] = getattr(path, name)
        return found

    return measure


def coded(texts: Sequence[str] | pd.Series) -> Values:
    """Numbers that stand for texts, so that they are compared like any other cell."""
    return np.array([crc32(str(text).encode()) for text in texts], dtype=np.float64)
