"""Typed parameters of the prediction: which month, which names, which weights."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from ranking_pipeline.config import Alias, Config
from ranking_pipeline.portfolio.candidates.sectors import sector_texts
from ranking_pipeline.portfolio.month_text import month_text

OPTIMISED = (
    "minimum_variance",
    "mean_variance",
    "risk_parity",
    "hierarchical_risk_parity",
)
ESTIMATED = ("volatility_scaled", *OPTIMISED)


class WeightingConfig(Config):
    """How the names of a leg share its capital."""

    method: Literal[
        "equal",
        "rank",
        "score_softmax",
        "score_proportional",
        "volatility_scaled",
        "minimum_variance",
        "mean_variance",
        "risk_parity",
        "hierarchical_risk_parity",
    ] = Field(
        description="equal; rank: linear in the place; score_softmax; "
        "score_proportional: in the score's own unit, metadata.score_unit, and refuses "
        "negative scores; volatility_scaled: inverse "
        "volatility; the others need the extra optimisers"
    )
    temperature: float = Field(
        gt=0,
        description="of score_softmax, in standard deviations of the leg's scores; "
        "larger is closer to equal",
    )
    risk_aversion: float = Field(
        gt=0,
        description="of mean_variance: variance of a bar's return that one unit of mean "
        "return pays for",
    )
    estimation_bars: int = Field(
        ge=20,
        description="returns up to the as-of bar from which volatility and covariance "
        "are estimated, in bars",
    )
    sector_neutral: bool = Field(
        description="every sector that is in a leg gets the same share of it; the "
        "method shares it out inside the sector"
    )
    max_weight: float | None = Field(
        gt=0,
        le=1,
        description="largest weight of a name, as a share of its leg; null = no cap. "
        "It comes last, and wins over sector_neutral",
    )

    @property
    def is_estimated(self) -> bool:
        """Whether the method needs a history of returns."""
        return self.method in ESTIMATED

    @property
    def is_optimised(self) -> bool:
        """Whether the method is one of the optional optimisers."""
        return self.method in OPTIMISED


class LiveRankingConfig(Config):
    """How the whole universe is ranked at the last bar."""

    tail_share: float = Field(
        gt=0, le=0.5, description="share of the ranked symbols in each tail"
    )
    min_universe: int = Field(
        ge=2, description="fewest ranked symbols that have tails, in symbols"
    )


class ScoreBandConfig(Config):
    """How far scores may lie from those on the bars of the training."""

    deviations: float = Field(
        gt=0,
        description="standard deviations of the training scores from their mean; a "
        "score farther away is warned of",
    )
    bars: int = Field(
        ge=1, description="last bars that the model was informed of, scored beside"
    )


class PredictionConfig(Config):
    """From candidates and a promoted model to portfolios."""

    model_alias: Alias = Field(description="name under which the model was promoted")
    version: str | None = Field(
        description="an earlier version of that alias; null = the current one"
    )
    sector: tuple[str, ...] = Field(
        min_length=1, description="all, or sectors of sector_candidates"
    )
    year: int | None = Field(
        ge=1900,
        le=2099,
        description="year of a single month, whatever the range says; null with month",
    )
    month: int | None = Field(
        ge=1,
        le=12,
        description="single month that is traded, 1 to 12; null = the range below",
    )
    first_month: str | None = Field(
        description="first month of a range, as 2018-01; null = the latest month that "
        "has candidates",
    )
    last_month: str | None = Field(
        description="last month of the range, included; null = the latest month that "
        "has candidates",
    )
    candidate_type: Literal["long", "short", "both"] = Field(
        description="legs: best predicted long candidates, worst predicted short "
        "candidates, or both"
    )
    top_n: int = Field(gt=0, description="names of each leg, in symbols")
    min_valid_stocks: int = Field(
        gt=0, description="fewest valid candidates of a leg, in symbols; below: failed"
    )
    min_data_coverage: float = Field(
        gt=0,
        le=1,
        description="share of the last sequence_length trading days with a bar below "
        "which a name is excluded",
    )
    sequence_length: int = Field(
        gt=0, description="trading days up to the as-of bar that count, in bars"
    )
    per_sector: bool = Field(
        description="one portfolio for each sector; false = one over all that are asked "
        "for"
    )
    weighting: WeightingConfig
    live: LiveRankingConfig
    score_band: ScoreBandConfig | None = Field(
        description="warns of scores unlike those of the training; null = never"
    )
    fallback: Literal["none", "algorithmic"] = Field(
        description="when no model is promoted: none = stop; algorithmic = the "
        "composite score takes its place and every output says so"
    )
    threads: int = Field(gt=0, description="threads of the model while it scores")
    save: bool = Field(
        description="write one JSON file per sector and month below "
        "08_reporting/portfolio/months; the versioned tables are always kept"
    )

    _sector_names = field_validator("sector", mode="before")(sector_texts)
    _months = field_validator("first_month", "last_month", mode="before")(month_text)

    @model_validator(mode="after")
    def _one_way_to_name_months(self) -> Self:
        if (self.year is None) != (self.month is None):
            raise ValueError("give year and month together, or neither")
        if self.last_month and not self.first_month:
            raise ValueError("last_month needs first_month")
        if self.first_month and self.last_month:
            if self.last_month < self.first_month:
                raise ValueError("last_month is before first_month")
        if "all" in self.sector and len(self.sector) > 1:
            raise ValueError("sector: give all, or names, not both")
        return self

    @property
    def legs(self) -> tuple[str, ...]:
        """Legs that are filled, the long one first."""
        both = self.candidate_type == "both"
        return ("long", "short") if both else (self.candidate_type,)
