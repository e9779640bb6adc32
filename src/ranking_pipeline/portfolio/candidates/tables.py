"""Tables of candidate selection: indicators, candidates, and what became of a sector."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.panel import Panel
from ranking_pipeline.portfolio.candidates.legs import Legs
from ranking_pipeline.portfolio.candidates.scorecard import (
    NOT_MEMBER,
    NOT_TRADABLE,
    OK,
    SHORT_HISTORY,
    TOO_SMALL,
    Scorecard,
)

Index = npt.NDArray[np.intp]
LEGS = ("long", "short")
NO_NAMES = "no_names"


def indicator_table(panel: Panel, card: Scorecard) -> pd.DataFrame:
    """One row per month and name that was tradable in the as-of month.

    Returns
    -------
    DataFrame
        month (of trading, as text), timestamp (END of the as-of bar, UTC), symbol,
        sector, gics_code, ma_slope and momentum (shares), volatility (one-step-ahead
        daily standard deviation as a share), volatility_source (``garch``, ``ewma`` or
        empty), volatility_reason (why not GARCH), n_returns, persistence, at_bound,
        momentum_percentile, ma_slope_percentile, volatility_percentile,
        composite_score, status. Sorted by (month, symbol), which is its key.
    """
    month, symbol = np.nonzero(card.status != "")
    cell = month, symbol
    risk, places = card.volatilities, card.places
    return _keys(panel, card, month, symbol).assign(
        ma_slope=_float32(card.ma_slope[cell]),
        momentum=_float32(card.momentum[cell]),
        volatility=_float32(risk.volatility[cell]),
        volatility_source=_text(risk.source[cell]),
        volatility_reason=_text(risk.reason[cell]),
        n_returns=risk.n_returns[cell],
        persistence=_float32(risk.persistence[cell]),
        at_bound=risk.at_bound[cell],
        momentum_percentile=_float32(places.momentum[cell]),
        ma_slope_percentile=_float32(places.ma_slope[cell]),
        volatility_percentile=_float32(places.volatility[cell]),
        composite_score=_float32(card.composite[cell]),
        status=_text(card.status[cell]),
    )


def candidate_table(panel: Panel, card: Scorecard, legs: Legs) -> pd.DataFrame:
    """One row per candidate.

    Returns
    -------
    DataFrame
        month, timestamp, asof_date (ISO 8601), sector, gics_code, symbol,
        composite_score, candidate_type (``long`` or ``short``), rank (1 = best of its
        leg, sector and month). Sorted by (month, sector, symbol), which is its key.
    """
    month, symbol = np.nonzero((legs.long > 0) | (legs.short > 0))
    cell = month, symbol
    is_long = legs.long[cell] > 0
    table = _keys(panel, card, month, symbol).assign(
        asof_date=_dates(panel, card, month),
        composite_score=_float32(card.composite[cell]),
        candidate_type=_text(np.where(is_long, *LEGS)),
        rank=np.where(is_long, legs.long[cell], legs.short[cell]).astype(np.int64),
    )
    columns = [
        "month", "timestamp", "asof_date", "sector", "gics_code", "symbol",
        "composite_score", "candidate_type", "rank",
    ]  # fmt: skip
    order = ["month", "sector", "symbol"]
    return table[columns].sort_values(order, ignore_index=True)


def outcome_table(panel: Panel, card: Scorecard, legs: Legs) -> pd.DataFrame:
    """One row per month and sector, with or without candidates.

    Returns
    -------
    DataFrame
        month, timestamp, asof_date (ISO 8601), sector, gics_code, status (``ok``,
        ``sector_too_small`` or ``no_names``), early (decided before the month of the
        as-of bar is over; only a last month that was asked for can be), n_names
        (tradable on a bar of the as-of month), n_scored, n_not_tradable,
        n_not_member (left the universe in that month), n_short_history, n_long,
        n_short, n_garch, n_ewma, n_at_bound, garch_coverage (share of the scored
        names; NaN without any). A sector that is too small counts the names that it
        would have scored.
    """
    names = [sector.name for sector in card.sectors]
    n_months, n = len(card.months.months), len(names)
    seen = card.status != ""
    counts = {
        "n_names": seen,
        "n_scored": np.isin(card.status, (OK, TOO_SMALL)),
        "n_not_tradable": card.status == NOT_TRADABLE,
        "n_not_member": card.status == NOT_MEMBER,
        "n_short_history": card.status == SHORT_HISTORY,
        "n_long": legs.long > 0,
        "n_short": legs.short > 0,
        "n_garch": card.volatilities.source == "garch",
        "n_ewma": card.volatilities.source == "ewma",
        "n_at_bound": card.volatilities.at_bound,
    }
    month = np.repeat(np.arange(n_months), n)
    table = pd.DataFrame(
        {
            "month": _text(card.months.months[month]),
            "timestamp": _stamps(panel, card, month),
            "asof_date": _dates(panel, card, month),
            "sector": _text(np.tile(names, n_months)),
            "gics_code": _text(np.tile([s.gics_code for s in card.sectors], n_months)),
        }
    )
    for name, marked in counts.items():
        table[name] = _per_sector(marked & seen, card.sector, n).ravel()
    small = _per_sector(card.status == TOO_SMALL, card.sector, n).ravel() > 0
    status = np.where(small, TOO_SMALL, np.where(table["n_scored"] > 0, OK, NO_NAMES))
    table.insert(5, "status", _text(status))
    table.insert(6, "early", card.months.early & (month == n_months - 1))
    scored = table["n_scored"].where(table["status"] == OK)
    return table.assign(garch_coverage=table["n_garch"] / scored)


def _per_sector(
    marked: npt.NDArray[np.bool_], sector: Index, n_sectors: int
) -> npt.NDArray[np.int64]:
    """Marked names of each month and sector, shape (M, n_sectors)."""
    each = [(marked & (sector == number)).sum(axis=1) for number in range(n_sectors)]
    return np.stack(each, axis=1).astype(np.int64)


def _keys(panel: Panel, card: Scorecard, month: Index, symbol: Index) -> pd.DataFrame:
    name = card.sector_name[month, symbol]
    sector = card.sector[month, symbol]
    codes = np.array([*(one.gics_code for one in card.sectors), ""])
    return pd.DataFrame(
        {
            "month": _text(card.months.months[month]),
            "timestamp": _stamps(panel, card, month),
            "symbol": _text(np.array(panel.symbols)[symbol]),
            "sector": _text(name),
            "gics_code": _text(codes[sector]),
        }
    )


def _stamps(panel: Panel, card: Scorecard, month: Index) -> pd.DatetimeIndex:
    stamps = panel.timestamps[card.months.bars[month]].astype("M8[ns]")
    return pd.DatetimeIndex(stamps).tz_localize("UTC")


def _dates(panel: Panel, card: Scorecard, month: Index) -> pd.Series:
    return _text(panel.trading_dates[card.months.bars[month]])


def _text(values: npt.NDArray[np.generic]) -> pd.Series:
    return pd.Series(values.astype(str), dtype=str)


def _float32(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    return values.astype(np.float32)
