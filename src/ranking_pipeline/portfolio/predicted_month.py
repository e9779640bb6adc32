"""Predicted month: from the candidates and scores of one as-of bar to a portfolio."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.errors import UserError
from ranking_pipeline.panel import Panel
from ranking_pipeline.portfolio.candidates.sectors import ALL
from ranking_pipeline.portfolio.coverage import (
    coverage_exclusions,
    history_exclusions,
    past_returns,
)
from ranking_pipeline.portfolio.prediction_config import PredictionConfig
from ranking_pipeline.portfolio.selection import Holding, PortfolioSelection
from ranking_pipeline.portfolio.weights import leg_weights
from ranking_pipeline.ranking.exclusion import Exclusion

COLUMNS = (
    "month",
    "timestamp",
    "sector",
    "symbol",
    "composite_score",
    "candidate_type",
    "rank",
)
SIGNS = {"long": 1.0, "short": -1.0}
_NO_SCORE = Exclusion("score_not_finite", "the model gave it no score")
_NO_WEIGHT = Exclusion("weight_zero", "the weighting gives it no weight")
_SHOWN = 3


def predict_candidates(
    candidates: pd.DataFrame,
    panel: Panel,
    scores: npt.NDArray[np.floating],
    how: PredictionConfig,
) -> PortfolioSelection:
    """Choose and weigh the best candidates of one month; a pure function.

    Each leg is ranked on its own: the highest scores of the long candidates, the lowest
    of the short ones; ties go by symbol. The long leg's weights sum to +1, the short
    leg's to -1. Nothing after the as-of bar is read.

    Parameters
    ----------
    candidates : DataFrame
        Rows of ``sector_candidates`` of one month, of one sector or of several.
    panel : Panel
    scores : ndarray, shape (S,)
        Of the as-of bar, in the order of ``panel.symbols``; NaN where there is none.
    how : PredictionConfig

    Returns
    -------
    PortfolioSelection
        With the status ``no_candidates`` where none is of the legs that are wanted.

    Raises
    ------
    UserError
        A column is missing, a symbol or the as-of bar is not in the panel, candidates
        are not from before their month, a leg has too few valid candidates, or they
        cannot be weighed.
    """
    check_columns(candidates)
    wanted = candidates[candidates["candidate_type"].isin(how.legs)]
    if wanted.empty:
        return PortfolioSelection()
    moment = _Moment(panel, asof_bar(wanted, panel), scores, how)
    wanted = wanted.sort_values(["rank", "symbol"]).drop_duplicates("symbol")
    excluded = moment.excluded(wanted)
    valid = wanted[~wanted["symbol"].isin(list(excluded))]
    weighed = [one for leg in how.legs for one in moment.leg(leg, wanted, excluded)]
    unheld = {one.symbol: _NO_WEIGHT for one in weighed if not one.weight}
    return PortfolioSelection(
        month=str(wanted["month"].iloc[0]),
        sector=_sector(wanted),
        timestamp=panel.timestamps[moment.bar],
        asof_date=str(panel.trading_dates[moment.bar]),
        first_trading_date=_first_date(panel, moment.bar),
        holdings=tuple(_placed(weighed, how.legs)),
        n_candidates=len(wanted),
        n_valid=len(valid),
        excluded=excluded | unheld,
    )


def _placed(weighed: Sequence[Holding], legs: Sequence[str]) -> list[Holding]:
    """Holdings that have a weight, numbered from 1 in each leg."""
    own = [[one for one in weighed if one.leg == leg and one.weight] for leg in legs]
    return [replace(one, rank=k) for held in own for k, one in enumerate(held, 1)]


def check_columns(candidates: pd.DataFrame) -> None:
    """Refuse a table that lacks a column of ``sector_candidates``."""
    missing = [name for name in COLUMNS if name not in candidates]
    if missing:
        raise UserError(
            f"sector_candidates lacks the column {', '.join(missing)}: run kedro run "
            "--pipelines=candidate_selection again."
        )


def asof_bar(candidates: pd.DataFrame, panel: Panel) -> int:
    """Bar at whose close the candidates of one month were chosen.

    Raises
    ------
    UserError
        When the rows are of several months or bars, the bar is not in the panel, or it
        is not before the month that it serves.
    """
    month = str(candidates["month"].iloc[0])
    stamps = pd.DatetimeIndex(candidates["timestamp"].unique())
    if candidates["month"].nunique() > 1 or len(stamps) > 1:
        raise UserError(
            f"candidates of {month} are of {candidates['month'].nunique()} months and "
            f"{len(stamps)} as-of bars; give those of one month."
        )
    stamp = stamps.tz_convert(None).to_numpy("datetime64[ns]")
    try:
        bar = int(panel.bar_positions(stamp)[0])
    except KeyError:
        raise UserError(
            f"sector_candidates: the as-of bar {stamps[0]} of {month} is not in the "
            "panel: run kedro run --pipelines=candidate_selection again."
        ) from None
    if panel.trading_dates[bar] >= np.datetime64(month, "D"):
        raise UserError(
            f"sector_candidates: the as-of bar {stamps[0]} is not before {month}, the "
            "month that it serves: such candidates know what they should predict."
        )
    return bar


@dataclass(frozen=True)
class _Moment:
    """What is known at one as-of bar."""

    panel: Panel
    bar: int
    scores: npt.NDArray[np.floating]
    how: PredictionConfig

    def excluded(self, candidates: pd.DataFrame) -> dict[str, Exclusion]:
        """Why candidates are not valid; the first reason that holds."""
        names, places = self._names(candidates)
        share, length = self.how.min_data_coverage, self.how.sequence_length
        short: dict[str, Exclusion] = {}
        if self.how.weighting.is_estimated:
            short = history_exclusions(names.tolist(), self._returns(places), share)
        unscored = names[~np.isfinite(self.scores[places])].tolist()
        thin = coverage_exclusions(self.panel, self.bar, places, length, share)
        return short | dict.fromkeys(unscored, _NO_SCORE) | thin

    def leg(
        self,
        leg: str,
        candidates: pd.DataFrame,
        excluded: Mapping[str, Exclusion],
    ) -> list[Holding]:
        """The chosen names of one leg, the most wanted first; a weight may be 0."""
        all_of_leg = candidates[candidates["candidate_type"] == leg]
        own = all_of_leg[~all_of_leg["symbol"].isin(list(excluded))]
        if len(own) < self.how.min_valid_stocks:
            raise _too_few(leg, all_of_leg, excluded, self.how)
        names, places = self._names(own)
        wanted = SIGNS[leg] * self.scores[places].astype(np.float64)
        order = np.lexsort((names.astype(str), -wanted))[: self.how.top_n]
        chosen = own.iloc[order]
        weights = self._weights(leg, chosen, places[order], wanted[order])
        columns = zip(
            names[order].tolist(),
            (SIGNS[leg] * wanted[order]).tolist(),
            chosen["composite_score"].astype(float).tolist(),
            weights.tolist(),
            strict=True,
        )
        return [
            Holding(name, leg, rank, score, composite, weight)
            for rank, (name, score, composite, weight) in enumerate(columns, 1)
        ]

    def _weights(
        self,
        leg: str,
        chosen: pd.DataFrame,
        places: npt.NDArray[np.intp],
        wanted: npt.NDArray[np.float64],
    ) -> npt.NDArray[np.float64]:
        how, volatility, returns = self.how.weighting, None, None
        if how.is_estimated:
            returns = SIGNS[leg] * self._returns(places)
            volatility = np.nanstd(returns, axis=0, ddof=1)
        sectors = chosen["sector"].to_numpy(dtype=str)
        return SIGNS[leg] * leg_weights(wanted, volatility, sectors, how, returns)

    def _returns(self, places: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
        length = self.how.weighting.estimation_bars
        return past_returns(self.panel, self.bar, places, length)

    def _names(
        self, rows: pd.DataFrame
    ) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.intp]]:
        """Symbols of rows and their places on the panel's axis."""
        names = rows["symbol"].astype(str).to_numpy(dtype=object)
        try:
            return names, self.panel.symbol_positions(names)
        except KeyError:
            unknown = sorted(set(names.tolist()) - set(self.panel.symbols))
            raise UserError(
                f"sector_candidates names {unknown[0]!r}, which is not in the panel: run "
                "kedro run --pipelines=candidate_selection again."
            ) from None


def _too_few(
    leg: str,
    candidates: pd.DataFrame,
    excluded: Mapping[str, Exclusion],
    how: PredictionConfig,
) -> UserError:
    """Name some of those that are not valid, each with its reason."""
    left_out = sorted(set(candidates["symbol"].astype(str)) & set(excluded))
    gone = [f"{name}: {excluded[name].sentence}" for name in left_out]
    told = f" ({'; '.join(gone[:_SHOWN])}{'; …' if gone[_SHOWN:] else ''})"
    joined = ", or set prediction.per_sector to false" if how.per_sector else ""
    return UserError(
        f"{len(candidates) - len(gone)} of {len(candidates)} {leg} candidates are valid"
        f"{told if gone else ''}, fewer than prediction.min_valid_stocks "
        f"{how.min_valid_stocks}: lower it or choose larger tails in candidate_selection"
        f"{joined}."
    )


def _sector(candidates: pd.DataFrame) -> str:
    names = candidates["sector"].astype(str).unique()
    return str(names[0]) if len(names) == 1 else ALL


def _first_date(panel: Panel, bar: int) -> str:
    """Trading date after the as-of bar's; empty where the bars end."""
    later = panel.trading_dates[panel.trading_dates > panel.trading_dates[bar]]
    return str(later[0]) if len(later) else ""
