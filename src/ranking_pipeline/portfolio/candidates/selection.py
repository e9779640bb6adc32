"""Candidates: for every sector and month the names to hold and those to sell short."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.errors import UserError
from ranking_pipeline.panel import Panel
from ranking_pipeline.portfolio.candidates.config import CandidateSelectionConfig
from ranking_pipeline.portfolio.candidates.legs import Legs, capped, sector_legs
from ranking_pipeline.portfolio.candidates.months import (
    refuse_other_intervals,
    trade_months,
)
from ranking_pipeline.portfolio.candidates.scorecard import (
    MeasureVolatility,
    Scorecard,
    make_scorecard,
)
from ranking_pipeline.portfolio.candidates.tables import (
    candidate_table,
    indicator_table,
    outcome_table,
)


@dataclass(frozen=True)
class SelectedCandidates:
    """What candidate selection gives.

    Attributes
    ----------
    indicators : DataFrame
        One row per month and name that appears; see :func:`indicator_table`.
    candidates : DataFrame
        One row per candidate; see :func:`candidate_table`.
    outcomes : DataFrame
        One row per month and sector; see :func:`outcome_table`.
    """

    indicators: pd.DataFrame
    candidates: pd.DataFrame
    outcomes: pd.DataFrame


def select_candidates(
    panel: Panel,
    config: CandidateSelectionConfig,
    measure_volatility: MeasureVolatility,
) -> SelectedCandidates:
    """Choose the candidates of each month from the bars of the months before it.

    Parameters
    ----------
    panel : Panel
        Daily bars; only tradable cells are candidates, under the sector of their date.
    config : CandidateSelectionConfig
    measure_volatility : callable
        Volatilities of the names to score, at the as-of bars.

    Raises
    ------
    UserError
        The bars are not daily, a month that was asked for has no as-of bar, or no
        sector has candidates in any month.
    """
    refuse_other_intervals(panel)
    months = trade_months(
        panel.trading_dates,
        first=config.first_month,
        last=config.last_month,
        history_bars=config.history_bars(),
    )
    card = make_scorecard(panel, months, config, measure_volatility)
    legs = choose_legs(card, config)
    outcomes = outcome_table(panel, card, legs)
    if not (outcomes["status"] == "ok").any():
        raise UserError(_nothing(panel, config, card, outcomes))
    return SelectedCandidates(
        indicator_table(panel, card), candidate_table(panel, card, legs), outcomes
    )


def choose_legs(card: Scorecard, config: CandidateSelectionConfig) -> Legs:
    """Take the tails of every sector, and of all of them no more than the cap."""
    shape = card.composite.shape
    long: npt.NDArray[np.intp] = np.zeros(shape, dtype=np.intp)
    short = np.zeros_like(long)
    for number in range(len(card.sectors)):
        own = np.where(card.sector == number, card.composite, np.nan)
        legs = sector_legs(own, config.top_k_ratio, config.bottom_k_ratio)
        long, short = long + legs.long, short + legs.short
    return capped(Legs(long, short), card.composite, config.max_candidates)


def _nothing(
    panel: Panel,
    config: CandidateSelectionConfig,
    card: Scorecard,
    outcomes: pd.DataFrame,
) -> str:
    largest = int(outcomes["n_scored"].max()) if len(outcomes) else 0
    if not panel.sector_names:
        return (
            "candidate_selection needs sectors, and the bars have none: data.sectors is "
            "null. Name a CSV file of symbol and sector there, and run kedro run "
            "--pipelines=data_preparation."
        )
    met = ", ".join(panel.sector_names)
    statuses, counts = np.unique(card.status[card.status != ""], return_counts=True)
    told = ", ".join(f"{n} {name}" for name, n in zip(statuses, counts, strict=True))
    return (
        f"candidate_selection: no sector has candidates in any of the "
        f"{len(card.months.months)} months: the largest has {largest} names that can "
        f"be scored, and min_sector_size asks for {config.min_sector_size}. Sectors of "
        f"the bars: {met}; names by month: {told or 'none'}. Lower "
        "candidate_selection.min_sector_size, give more names (--env=portfolio "
        "simulates a market of such a size), or name sectors in data.sectors that "
        "candidate_selection.sector_windows has."
    )
