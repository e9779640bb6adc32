"""Portfolio selection: the names of one month, their weights, and who is left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from ranking_pipeline.portfolio.candidates.sectors import ALL, known_sectors
from ranking_pipeline.portfolio.selection_schema import ScoreUnit, Source
from ranking_pipeline.ranking.exclusion import Exclusion


@dataclass(frozen=True)
class Holding:
    """One name of a portfolio.

    Attributes
    ----------
    symbol, leg : str
        ``long`` or ``short``.
    rank : int
        Place in its leg, 1 for the most wanted.
    score : float
        What the model predicts for it, or the composite score in its place.
    composite_score : float
        Of the candidate selection.
    weight : float
        Share of the leg's capital, negative in the short leg.
    """

    symbol: str
    leg: str
    rank: int
    score: float
    composite_score: float
    weight: float


@dataclass(frozen=True)
class Scorer:
    """Where scores come from, as every output says it.

    Attributes
    ----------
    source : str
        ``model``, or ``algorithmic_only`` where the composite score stands in for it.
    label, alias, version, model_id, target : str
        Of the promoted model; empty without one.
    unit : str
        Of the scores: ``composite`` without a model, ``return``, ``normal_score`` (of
        the place within the bar), ``class_score``, ``order`` (nothing but the order
        counts), or ``mixed`` where a model joins parts of several.
    informed_until : str
        End of the last bar that the model was fitted, stopped or chosen with, ISO 8601
        in UTC; empty without a model or where its record does not tell.
    seeds : tuple of int
        With which it was trained.
    lag_bars : int
        Bars between the as-of bar and the entry.
    versions : mapping
        Of the packages that take part, by name.
    """

    source: Source
    label: str = ""
    alias: str = ""
    version: str = ""
    model_id: str = ""
    target: str = ""
    unit: ScoreUnit = "composite"
    informed_until: str = ""
    seeds: tuple[int, ...] = ()
    lag_bars: int = 1
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PortfolioSelection:
    """The portfolio of one month, of one sector or of all.

    Attributes
    ----------
    month : str
        The month that is traded, as 2018-06; empty where there was no candidate.
    sector : str
        Its name, ``all``, or the short names of several, as ``energy-it``.
    timestamp : datetime64[ns] or None
        End of the as-of bar, UTC: the last that the portfolio knows.
    asof_date, first_trading_date : str
        Trading dates of the as-of bar and of the first bar after it; the latter is
        empty where the bars end before.
    holdings : tuple of Holding
        Long leg first, each by rank.
    n_candidates, n_valid : int
    excluded : mapping
        Candidate -> why it is not valid, or has no weight though it is.
    """

    month: str = ""
    sector: str = ALL
    timestamp: np.datetime64 | None = None
    asof_date: str = ""
    first_trading_date: str = ""
    holdings: tuple[Holding, ...] = ()
    n_candidates: int = 0
    n_valid: int = 0
    excluded: Mapping[str, Exclusion] = field(default_factory=dict)

    @property
    def status(self) -> Literal["done", "no_candidates"]:
        """``no_candidates`` where there was nothing to choose from."""
        return "done" if self.n_candidates else "no_candidates"

    @property
    def short_name(self) -> str:
        """Short name of the sector, as parameters and files have it."""
        return known_sectors([self.sector])[0].short

    def to_document(self, scorer: Scorer) -> dict[str, Any]:
        """Write the selection as plain JSON; ``portfolio_selection.schema.json``.

        Scores are comparable within one leg of one selection only.
        """
        return {
            "selected_stocks": [one.symbol for one in self.holdings],
            "predicted_scores": [one.score for one in self.holdings],
            "portfolio_weights": {one.symbol: one.weight for one in self.holdings},
            "source": scorer.source,
            "status": self.status,
            "legs": {one.symbol: one.leg for one in self.holdings},
            "composite_scores": {
                one.symbol: one.composite_score for one in self.holdings
            },
            "metadata": self._metadata(scorer),
        }

    def _metadata(self, scorer: Scorer) -> dict[str, Any]:
        return {
            "sector": self.short_name,
            "month": self.month,
            "date": f"{self.month}-01",
            "asof_date": self.asof_date or None,
            "first_trading_date": self.first_trading_date or None,
            "num_candidates": self.n_candidates,
            "total_candidates": self.n_candidates,
            "valid_stocks": self.n_valid,
            "excluded_stocks": sorted(self.excluded),
            "exclusion_reasons": {
                name: {"code": why.code, "reason": why.sentence}
                for name, why in sorted(self.excluded.items())
            },
            "model_version": scorer.label or None,
            "model_alias": scorer.alias or None,
            "promoted_version": scorer.version or None,
            "model_id": scorer.model_id or None,
            "target": scorer.target or None,
            "score_unit": scorer.unit,
            "informed_until": scorer.informed_until or None,
            "seeds": list(scorer.seeds),
            "entry_lag_bars": scorer.lag_bars,
            "versions": dict(scorer.versions),
        }
