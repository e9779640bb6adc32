"""Parameters of routing."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ranking_pipeline.config import Config
from ranking_pipeline.selection.config import EstimationConfig


class Thresholds(Config):
    """Scores that separate the states, in the unit of the metric."""

    min_score: float = Field(description="score that OK must exceed")
    strong_score: float = Field(description="smallest score of STRONG")
    suspicious_score: float = Field(description="score from which a leak is assumed")


class SideThresholds(Config):
    """Thresholds of one side (pooled or symbol), by metric."""

    rank_ic: Thresholds = Field(description="returns: rank correlation, -1 to 1")
    auc: Thresholds = Field(description="classes: area under the curve, 0 to 1")


class RoutingConfig(EstimationConfig):
    """Pooled model, one model per symbol, or both."""

    mode: Literal["auto", "cross_sectional", "symbol_specific"] = Field(
        description="auto decides by evidence; the others force a uniform plan"
    )
    symbol_family: str = Field(description="family of the per-symbol comparison")
    max_symbols_for_symbol_routes: int = Field(
        ge=0, description="symbol routes are off above so many symbols"
    )
    min_pooled_rows: int = Field(ge=1, description="fewest train rows, all symbols")
    min_symbol_rows: int = Field(ge=1, description="fewest train rows of one symbol")
    min_t: float = Field(
        description="smallest block t of a pooled OK and of any STRONG"
    )
    false_discovery_rate: float = Field(
        gt=0, lt=1, description="Benjamini-Hochberg level over target x symbol"
    )
    pooled: SideThresholds
    symbol: SideThresholds
    experimental_share: float = Field(
        ge=0, le=1, description="most experimental symbol routes, share of the symbols"
    )
    stability_top: int = Field(ge=1, description="size of the top lists compared")
    require_jobs: bool = Field(
        description="true: a plan without jobs is an error, also when nothing is "
        "predictable"
    )
