"""Scorecard: what is known of every name at every as-of bar, and its composite score."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ranking_pipeline.panel import NO_SECTOR, Panel
from ranking_pipeline.portfolio.candidates.composite import (
    COMPOSITES,
    Percentiles,
    sector_percentiles,
)
from ranking_pipeline.portfolio.candidates.config import CandidateSelectionConfig
from ranking_pipeline.portfolio.candidates.garch import REASON_TYPE, SOURCE_TYPE
from ranking_pipeline.portfolio.candidates.indicators import Closes, traded_closes
from ranking_pipeline.portfolio.candidates.months import TradeMonths
from ranking_pipeline.portfolio.candidates.sectors import Sector, sector_of
from ranking_pipeline.portfolio.returns import traded_bars

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Names = npt.NDArray[np.str_]

OK, TOO_SMALL = "ok", "sector_too_small"
NOT_TRADABLE, NOT_MEMBER = "not_tradable", "not_member"
SHORT_HISTORY = "short_history"
NO_SECTOR_KNOWN, NO_WINDOWS = "no_sector", "no_windows"


@dataclass(frozen=True)
class Volatilities:
    """One-step-ahead volatility of names at as-of bars, each array of shape (M, S).

    Attributes
    ----------
    volatility : ndarray of float64
        Standard deviation of the next day's return, as a share; NaN where unknown.
    source : ndarray of str
        ``garch``, ``ewma``, or empty.
    reason : ndarray of str
        Why it is not GARCH; empty where it is.
    n_returns : ndarray of int
        Returns that it was estimated on.
    persistence : ndarray of float64
        alpha + beta; NaN unless GARCH.
    at_bound : ndarray of bool
        Whether the fit ended on the bound of the persistence.
    """

    volatility: Array
    source: Names
    reason: Names
    n_returns: npt.NDArray[np.int64]
    persistence: Array
    at_bound: Mask

    @classmethod
    def unknown(cls, shape: tuple[int, int]) -> Volatilities:
        """Give volatilities of which none is known yet."""
        return cls(
            np.full(shape, np.nan),
            np.full(shape, "", dtype=SOURCE_TYPE),
            np.full(shape, "", dtype=REASON_TYPE),
            np.zeros(shape, dtype=np.int64),
            np.full(shape, np.nan),
            np.zeros(shape, dtype=bool),
        )


# Volatilities of the cells (M, S) that are marked, at the as-of bars of the months.
MeasureVolatility = Callable[[Panel, TradeMonths, Mask], Volatilities]


@dataclass(frozen=True)
class Scorecard:
    """Names by month, each array of shape (M, S).

    Attributes
    ----------
    months : TradeMonths
    sectors : tuple of Sector
        Those that were chosen from.
    sector : ndarray of int
        Position in ``sectors`` on the as-of date, -1 for every other.
    sector_name : ndarray of str
        Empty where it is not known.
    status : ndarray of str
        ``ok``, or why the name is not scored; empty where it does not appear.
    momentum, ma_slope : ndarray of float64
    volatilities : Volatilities
    places : Percentiles
    composite : ndarray of float64
        NaN unless the status is ``ok``. Rounded to float32, as tables hold it: sums of
        three places are often equal but for rounding, and such names are ties.
    """

    months: TradeMonths
    sectors: tuple[Sector, ...]
    sector: npt.NDArray[np.intp]
    sector_name: Names
    status: Names
    momentum: Array
    ma_slope: Array
    volatilities: Volatilities
    places: Percentiles
    composite: Array


def make_scorecard(
    panel: Panel,
    months: TradeMonths,
    config: CandidateSelectionConfig,
    measure_volatility: MeasureVolatility,
) -> Scorecard:
    """Score every name at every as-of bar by what its close and those before tell.

    Parameters
    ----------
    panel : Panel
        Daily bars.
    months : TradeMonths
    config : CandidateSelectionConfig
    measure_volatility : callable
        Gives the volatilities of the names that are to be scored.
    """
    sectors = config.chosen()
    sector, named, status = _standing(panel, months, config, sectors)
    momentum, ma_slope = _indicators(panel, months, config, sectors, sector, status)
    candidates = status == OK
    known = np.isfinite(momentum) & np.isfinite(ma_slope)
    status[candidates & ~known] = SHORT_HISTORY
    _leave_out_small(sector, status, len(sectors), config.min_sector_size)
    scored = status == OK
    volatilities = measure_volatility(panel, months, scored)
    shape, composite = status.shape, np.full(status.shape, np.nan)
    places = Percentiles(*(np.full(shape, np.nan) for _ in range(3)))
    mix = COMPOSITES[config.scoring]
    for number in range(len(sectors)):
        own = scored & (sector == number)
        ranked = sector_percentiles(momentum, ma_slope, volatilities.volatility, own)
        for name, values in vars(ranked).items():
            getattr(places, name)[own] = values[own]
        mixed = mix(ranked, momentum, ma_slope, config.weights)
        composite[own] = mixed[own].astype(np.float32)
    return Scorecard(
        months, sectors, sector, named, status, momentum, ma_slope, volatilities,
        places, composite,
    )  # fmt: skip


def _standing(
    panel: Panel,
    months: TradeMonths,
    config: CandidateSelectionConfig,
    sectors: tuple[Sector, ...],
) -> tuple[npt.NDArray[np.intp], Names, Names]:
    """Sector and status of each name, before any indicator; (M, S) each."""
    codes = panel.sectors[:, months.bars].T.astype(np.intp)
    known = [sector_of(name) for name in panel.sector_names]
    names = np.array([*(one.name for one in known), ""])  # code -1 picks the last
    number = [sectors.index(one) if one in sectors else -1 for one in known]
    sector = np.array([*number, -1], dtype=np.intp)[codes]
    windows = config.windows()
    configured = np.array([*(one in windows for one in known), False])[codes]
    status = np.full(codes.shape, OK, dtype="U16")
    status[~configured] = NO_WINDOWS
    status[codes == NO_SECTOR] = NO_SECTOR_KNOWN
    outside = ~panel.tradable[:, months.bars].T
    status[outside] = NOT_TRADABLE
    status[outside & traded_bars(panel)[months.bars]] = NOT_MEMBER
    not_asked = configured & (sector < 0)
    status[not_asked | ~_traded_in_month(panel, months)] = ""
    return sector, names[codes], status


def _traded_in_month(panel: Panel, months: TradeMonths) -> Mask:
    """Whether a name was tradable on any bar of the as-of bar's month, shape (M, S)."""
    own = panel.trading_dates.astype("M8[M]")
    first = np.searchsorted(own, own[months.bars])
    spans = zip(first, months.bars, strict=True)
    return np.array([panel.tradable[:, a : b + 1].any(axis=1) for a, b in spans])


def _indicators(
    panel: Panel,
    months: TradeMonths,
    config: CandidateSelectionConfig,
    sectors: tuple[Sector, ...],
    sector: npt.NDArray[np.intp],
    status: Names,
) -> tuple[Array, Array]:
    """Momentum and slope of the names that may be scored, (M, S) each."""
    closes, windows = Closes.of(traded_closes(panel)), config.windows()
    momentum, slope = np.full(status.shape, np.nan), np.full(status.shape, np.nan)
    for month, bar in enumerate(months.bars):
        for number, one in enumerate(sectors):
            rows = np.flatnonzero((sector[month] == number) & (status[month] == OK))
            own = windows[one]
            momentum[month, rows] = closes.momentum(rows, bar, own.momentum_bars)
            slope[month, rows] = closes.moving_average_slope(
                rows, bar, own.moving_average_bars, config.slope_bars
            )
    return momentum, slope


def _leave_out_small(
    sector: npt.NDArray[np.intp], status: Names, n_sectors: int, least: int
) -> None:
    """Mark the names of sectors with too few of them, month by month, in place."""
    for number in range(n_sectors):
        own = (sector == number) & (status == OK)
        small = own.sum(axis=1, keepdims=True) < least
        status[own & small] = TOO_SMALL
