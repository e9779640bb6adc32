"""Parameters of the look-ahead audit."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from ranking_pipeline.config import Config

Mode = Literal[
    "truncated",
    "random_walk",
    "missing",
    "scaled",
    "constant",
    "shuffled",
    "half_missing",
    "universe",
    "sectors",
    "calendar",
]

Optimiser = Literal[
    "minimum_variance", "mean_variance", "risk_parity", "hierarchical_risk_parity"
]


class AuditConfig(Config):
    """How much is audited."""

    symbols: int = Field(
        ge=4, description="symbols of the slice; those with gaps and short lives first"
    )
    bars: int = Field(
        ge=100, description="bars of the slice, around the end of the train span"
    )
    every_bar: bool = Field(description="cut at every bar of the slice")
    event_cuts: int = Field(
        ge=0,
        description="cuts at gaps, listings, ends, splits and the calendar's edges",
    )
    random_cuts: int = Field(ge=0, description="cuts at further, random bars")
    modes: list[Mode] = Field(
        min_length=1, description="ways in which the bars after a cut are altered"
    )
    modes_at_a_cut: int = Field(
        ge=1, description="ways tried at each cut, taken in turn from modes"
    )
    label_cuts: int = Field(
        ge=1, description="cuts at which labels, returns and books are checked"
    )
    warm_up_cuts: int = Field(
        ge=1, description="later starts from which the look-back must suffice"
    )
    score_cuts: int = Field(
        ge=1, description="cuts in the test block at which scores are compared"
    )
    month_cuts: int = Field(
        ge=0,
        description="cuts, at month ends and between them, at which candidates, "
        "portfolios and their books are compared; 0 = none",
    )
    month_bars: int = Field(
        ge=100, description="bars of the slice on which they are, around the train end"
    )
    garch_symbols: int = Field(
        ge=0, description="symbols whose GARCH volatilities are compared; 0 = none"
    )
    garch_cuts: int = Field(ge=1, description="cuts at which they are")
    optimisers: list[Optimiser] = Field(
        description="optimisers whose weights are compared; [] = none, others need the "
        "extra optimisers"
    )
    optimiser_cuts: int = Field(ge=1, description="cuts at which they are")
    families: dict[str, dict[str, Any]] = Field(
        description="model families whose bytes and scores are compared, each with its "
        "parameter block; {} = none"
    )
    network: bool = Field(description="whether a small ranking network is checked, too")
    planted: bool = Field(
        description="whether planted look-aheads must be caught in the same run"
    )
    seed: int = Field(
        ge=0, description="fixes the slice, the cuts and the altered bars"
    )
