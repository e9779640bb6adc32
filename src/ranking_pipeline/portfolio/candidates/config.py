"""Typed parameters of candidate selection."""

from __future__ import annotations

import math
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from ranking_pipeline.config import Config
from ranking_pipeline.errors import UserError
from ranking_pipeline.portfolio.candidates.garch import GarchConfig
from ranking_pipeline.portfolio.candidates.sectors import (
    Sector,
    chosen_sectors,
    known_sectors,
    sector_of,
    sector_texts,
)
from ranking_pipeline.portfolio.month_text import month_text


class SectorWindows(Config):
    """How far back the indicators of one sector look."""

    moving_average_bars: int = Field(
        ge=5, description="trading days of the moving average whose slope is taken"
    )
    momentum_bars: int = Field(ge=1, description="trading days of the momentum")


class CompositeWeights(Config):
    """Shares of the composite score."""

    momentum: float = Field(ge=0, le=1, description="share of the momentum")
    moving_average: float = Field(
        ge=0, le=1, description="share of the slope of the moving average"
    )
    volatility: float = Field(ge=0, le=1, description="share of low volatility")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        total = self.momentum + self.moving_average + self.volatility
        if not math.isclose(total, 1.0, abs_tol=1e-9):
            raise ValueError(
                f"the weights {self.momentum:g} + {self.moving_average:g} + "
                f"{self.volatility:g} sum to {total:g}: write shares that sum to 1"
            )
        return self


class CandidateSelectionConfig(Config):
    """Candidates of each sector and month, by indicators of daily bars."""

    sectors: list[str] = Field(
        min_length=1,
        description="all, or sectors by short name, full name or GICS code in quotes",
    )
    sector_windows: dict[str, SectorWindows] = Field(
        description="windows by sector: a short name of GICS, or the name that your own "
        "bars carry"
    )
    first_month: str | None = Field(
        description="first trade month, as 2018-06; null = the first one with the "
        "longest window behind it",
    )
    last_month: str | None = Field(
        description="last trade month; null = the one after the last finished month of "
        "the bars, which is the live one; the month after an unfinished one is "
        "decided early, at the last bar, with a warning",
    )
    slope_bars: int = Field(
        gt=0, description="trading days over which the moving average's change is taken"
    )
    volatility: GarchConfig = Field(
        description="how the next day's volatility is forecast"
    )
    weights: CompositeWeights = Field(description="shares of the composite, sum 1")
    scoring: Literal["percentile", "legacy_mix"] = Field(
        description="percentile: places within the sector; legacy_mix: z-score, raw "
        "slope and rank together, for comparison only"
    )
    top_k_ratio: float = Field(
        gt=0, le=0.5, description="share of a sector's names in the long leg"
    )
    bottom_k_ratio: float = Field(
        gt=0, le=0.5, description="share of a sector's names in the short leg"
    )
    min_sector_size: int = Field(
        ge=2, description="fewest scored names with which a sector has candidates"
    )
    max_candidates: int | None = Field(
        gt=0,
        description="most names of a leg in a month, over all sectors, the best first; "
        "null = no limit",
    )

    _sector_names = field_validator("sectors", mode="before")(sector_texts)
    _months = field_validator("first_month", "last_month", mode="before")(month_text)

    @field_validator("sector_windows")
    @classmethod
    def _one_name_each(
        cls, windows: dict[str, SectorWindows]
    ) -> dict[str, SectorWindows]:
        if len(known_sectors(windows)) < len(windows):
            raise ValueError(
                f"two of {', '.join(windows)} name the same sector: keep one of them"
            )
        return windows

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        try:
            self.chosen()
        except UserError as problem:
            raise ValueError(str(problem)) from None
        if self.first_month and self.last_month and self.last_month < self.first_month:
            raise ValueError(
                f"last_month {self.last_month} lies before first_month "
                f"{self.first_month}"
            )
        return self

    def windows(self) -> dict[Sector, SectorWindows]:
        """Give the windows of every known sector."""
        return {sector_of(name): own for name, own in self.sector_windows.items()}

    def chosen(self) -> tuple[Sector, ...]:
        """List the sectors to choose from; an unknown one raises UserError."""
        return chosen_sectors(self.sectors, self.sector_windows)

    def history_bars(self) -> int:
        """Count the bars that the longest window of the chosen sectors needs.

        A momentum needs the bar before its window too, and a slope the moving average
        of ``slope_bars`` earlier.
        """
        own = [self.windows()[sector] for sector in self.chosen()]
        return max(
            max(1 + one.momentum_bars, one.moving_average_bars + self.slope_bars)
            for one in own
        )
