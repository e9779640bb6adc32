"""Trade range: the months and sectors for which portfolios are asked."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ranking_pipeline.errors import UserError
from ranking_pipeline.portfolio.candidates.sectors import (
    ALL,
    GICS,
    find_sector,
    known_sectors,
)
from ranking_pipeline.portfolio.prediction_config import PredictionConfig

SELECT = "kedro run --pipelines=candidate_selection"


def wanted_months(candidates: pd.DataFrame, how: PredictionConfig) -> list[str]:
    """List the months that ``how`` asks for, whether or not they have candidates.

    Raises
    ------
    UserError
        No month has candidates, or the first one that is asked for lies behind all.
    """
    if candidates.empty:
        raise UserError(
            f"sector_candidates is empty: run {SELECT} for other bars or parameters."
        )
    if how.year is not None and how.month is not None:
        return [f"{how.year}-{how.month:02d}"]
    last = how.last_month or _latest(candidates)
    first = how.first_month or last
    if last < first:
        raise UserError(
            f"prediction.first_month is {first}, and the latest month with candidates "
            f"is {last}: {SELECT} for later bars, or name an earlier month."
        )
    months = np.arange(np.datetime64(first, "M"), np.datetime64(last, "M") + 1)
    return [str(month) for month in months]


def wanted_sectors(candidates: pd.DataFrame, how: PredictionConfig) -> list[str]:
    """Names of the sectors that ``how`` asks for, those of GICS first, by code.

    Short names, full names and codes of GICS are understood, and the names that the
    candidates carry; ``all`` is every sector that has a candidate in any month.

    Raises
    ------
    UserError
        A name is none of these; all are listed.
    """
    present = known_sectors(candidates["sector"].astype(str).unique().tolist())
    if how.sector == (ALL,):
        return [sector.name for sector in present]
    known = known_sectors([*(one.short for one in GICS), *(s.name for s in present)])
    remedy = f"{ALL} takes those with candidates."
    asked = {
        find_sector(name, known, "prediction.sector", remedy) for name in how.sector
    }
    return [sector.name for sector in known if sector in asked]


def portfolio_sectors(
    candidates: pd.DataFrame, how: PredictionConfig
) -> dict[str, list[str]]:
    """Sectors from which each portfolio of a month chooses, by what it is called.

    One portfolio over several sectors is called ``all``, or by their short names with
    dashes between them, as ``energy-it``.

    Raises
    ------
    UserError
        See :func:`wanted_sectors`.
    """
    sectors = wanted_sectors(candidates, how)
    if how.per_sector or (len(sectors) == 1 and how.sector != (ALL,)):
        return {name: [name] for name in sectors}
    if how.sector == (ALL,):
        return {ALL: sectors}
    return {"-".join(one.short for one in known_sectors(sectors)): sectors}


def _latest(candidates: pd.DataFrame) -> str:
    return str(candidates["month"].astype(str).max())
