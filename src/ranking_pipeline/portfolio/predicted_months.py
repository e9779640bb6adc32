"""Predicted months: portfolios over months and sectors, each with its outcome."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.errors import UserError
from ranking_pipeline.panel import Panel
from ranking_pipeline.portfolio.cautions import told_left_out, told_uneven_sectors
from ranking_pipeline.portfolio.live_ranking import live_ranking
from ranking_pipeline.portfolio.month_outcomes import (
    DONE,
    FAILED,
    IN_SAMPLE,
    NONE,
    Outcome,
    no_candidate,
    refuse_when_none,
    told_missing,
    without_portfolio,
)
from ranking_pipeline.portfolio.optimisers import require_optimiser
from ranking_pipeline.portfolio.predicted_month import (
    asof_bar,
    check_columns,
    predict_candidates,
)
from ranking_pipeline.portfolio.prediction_config import PredictionConfig
from ranking_pipeline.portfolio.score_band import (
    score_band,
    told_outside,
    training_bars,
)
from ranking_pipeline.portfolio.selection import PortfolioSelection
from ranking_pipeline.portfolio.served_model import ServedModel
from ranking_pipeline.portfolio.trade_range import (
    SELECT,
    portfolio_sectors,
    wanted_months,
)
from ranking_pipeline.ranking.exclusion import Exclusion
from ranking_pipeline.storage import TableHandle

PROMOTE = "kedro run --pipelines=promotion"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Predicted:
    """Portfolios and the ranking of the universe at the last bar."""

    outcomes: tuple[Outcome, ...]
    live: pd.DataFrame

    @property
    def selections(self) -> list[PortfolioSelection]:
        """Portfolios, and the selections without candidates; failures are left out."""
        told = (DONE, NONE)
        return [one.selection for one in self.outcomes if one.status in told]


def predict_months(
    candidates: pd.DataFrame,
    panel: Panel,
    features: TableHandle | None,
    model: ServedModel | None,
    how: PredictionConfig,
) -> Predicted:
    """Predict every month and sector that ``how`` asks for.

    The model scores all as-of bars and the last bar in one call. A month that fails is
    a recorded outcome and stops no other.

    Parameters
    ----------
    candidates : DataFrame
        The table ``sector_candidates``.
    panel : Panel
    features : TableHandle or None
        Factors, for a model that needs them.
    model : ServedModel or None
        None: the composite score takes its place.
    how : PredictionConfig

    Raises
    ------
    UserError
        A sector is not known, or no portfolio could be made.
    """
    check_columns(candidates)
    require_optimiser(how.weighting)
    months = wanted_months(candidates, how)
    portfolios = portfolio_sectors(candidates, how)
    every = [name for sectors in portfolios.values() for name in sectors]
    asked = candidates[candidates["sector"].astype(str).isin(every)]
    by_month = {str(name): rows for name, rows in asked.groupby("month", observed=True)}
    known = sorted(candidates["month"].astype(str).unique())
    bars, refused = _asof_bars(months, by_month, known, panel, model)
    scores, last = _scores(candidates, panel, features, model, bars, how)
    outcomes = []
    for month in months:
        rows = by_month.get(month, asked.iloc[:0])
        for sector, parts in portfolios.items():
            own = rows[rows["sector"].astype(str).isin(parts)]
            if month in refused:
                outcomes.append(without_portfolio(month, sector, *refused[month]))
            else:
                score = scores.get(month, np.empty(0))
                outcomes.append(_predicted(month, sector, own, panel, score, how))
    refuse_when_none(outcomes)
    uneven = told_uneven_sectors(outcomes, candidates, how.weighting)
    told = [*told_missing(outcomes), *told_left_out(outcomes), uneven]
    for text in filter(None, told):
        log.warning("%s", text)
    live = live_ranking(panel, last, how, _live_refusal(panel, model))
    return Predicted(tuple(outcomes), live)


def _asof_bars(
    months: list[str],
    by_month: Mapping[str, pd.DataFrame],
    known: list[str],
    panel: Panel,
    model: ServedModel | None,
) -> tuple[dict[str, int], dict[str, tuple[str, str]]]:
    """As-of bar of each month, and the months that are refused as (status, reason)."""
    bars: dict[str, int] = {}
    refused: dict[str, tuple[str, str]] = {}
    for month in months:
        if month not in known:
            reason = (
                "no candidates were chosen, which there are for "
                f"{known[0]} to {known[-1]}: run {SELECT} for others"
            )
            refused[month] = (FAILED, reason)
            continue
        if month not in by_month:
            continue  # chosen in other sectors: no candidates here
        try:
            bars[month] = asof_bar(by_month[month], panel)
        except UserError as error:
            refused[month] = (FAILED, str(error))
            continue
        seen = "" if model is None else _seen(panel, bars[month], model)
        if seen:
            refused[month] = (IN_SAMPLE, seen)
            del bars[month]
    return bars, refused


def _seen(panel: Panel, bar: int, model: ServedModel) -> str:
    """Why a model may not predict at a bar; empty where it may."""
    until = model.informed_until
    if until is None:
        return (
            f"{model.label} does not tell until when it was informed: train and promote "
            f"it again ({PROMOTE})"
        )
    if panel.timestamps[bar] > until:
        return ""
    last = int(np.searchsorted(panel.timestamps, until, side="right")) - 1
    return (
        f"the model has seen these bars: {model.label} was informed until "
        f"{panel.trading_dates[last]}, and the as-of bar is of {panel.trading_dates[bar]}"
    )


def _scores(
    candidates: pd.DataFrame,
    panel: Panel,
    features: TableHandle | None,
    model: ServedModel | None,
    bars: Mapping[str, int],
    how: PredictionConfig,
) -> tuple[dict[str, npt.NDArray[np.float64]], npt.NDArray[np.float64]]:
    """Scores (S,) of each month, and of the last bar."""
    if model is None:
        found = {month: _composites(candidates, panel, month) for month in bars}
        return found, np.full(panel.n_symbols, np.nan)
    last = panel.n_bars - 1
    trained = training_bars(panel, model.informed_until, how.score_band)
    axis = np.unique([*bars.values(), last, *trained])
    matrix = model.scores(panel, features, axis, how.threads)  # (len(axis), S)
    rows = {int(bar): row for bar, row in zip(axis, matrix, strict=True)}
    found = {month: rows[bar] for month, bar in bars.items()}
    band = score_band(matrix[np.isin(axis, trained)], how.score_band)
    for text in told_outside(found | {"the last bar": rows[last]}, panel.symbols, band):
        log.warning("%s", text)
    return found, rows[last]


def _composites(
    candidates: pd.DataFrame, panel: Panel, month: str
) -> npt.NDArray[np.float64]:
    own = candidates[candidates["month"].astype(str) == month]
    scores = dict(zip(own["symbol"].astype(str), own["composite_score"], strict=True))
    return np.array([scores.get(name, np.nan) for name in panel.symbols], np.float64)


def _predicted(
    month: str,
    sector: str,
    candidates: pd.DataFrame,
    panel: Panel,
    scores: npt.NDArray[np.float64],
    how: PredictionConfig,
) -> Outcome:
    if candidates.empty:
        return without_portfolio(month, sector, NONE, no_candidate(sector, how))
    try:
        found = predict_candidates(candidates, panel, scores, how)
    except UserError as error:
        return without_portfolio(month, sector, FAILED, str(error))
    reason = "" if found.status == DONE else no_candidate(sector, how)
    selection = replace(found, month=month, sector=sector)
    return Outcome(month, sector, found.status, reason, selection)


def _live_refusal(panel: Panel, model: ServedModel | None) -> Exclusion | None:
    """Why the universe cannot be ranked at the last bar.

    A model may have learned from every bar up to the last one: what it predicts there
    is not among them.
    """
    if model is None:
        return Exclusion("no_model", "no model is promoted")
    until = model.informed_until
    if until is None:
        return Exclusion("in_sample", _seen(panel, panel.n_bars - 1, model))
    if panel.timestamps[-1] >= until:
        return None
    return Exclusion("in_sample", "the model has seen later bars than these")
