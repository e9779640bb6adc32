"""Parameters of the backtest."""

from typing import Literal

from pydantic import Field

from ranking_pipeline.config import Config


class BacktestConfig(Config):
    """Which book is held, by which rules, and beside what."""

    model_id: str | None = Field(
        description="row of the leaderboard that is held; null = the one that was "
        "chosen on validation"
    )
    target: str | None = Field(
        description="target of that row, where rows of several targets share the name; "
        "null = the only one"
    )
    tail_share: float | None = Field(
        gt=0,
        le=0.5,
        description="share of the symbols in the long and the short leg; null = that of "
        "the evaluation",
    )
    band_share: float | None = Field(
        gt=0,
        le=0.5,
        description="share of the symbols, at least tail_share, within which a held "
        "name stays; null = no band",
    )
    legs: Literal["both", "long", "short"] = Field(
        description="legs that are held; both: long and short"
    )
    rebalance_bars: int | None = Field(
        ge=1,
        description="bars from one trade to the next, a multiple or a divisor of the "
        "target's horizon; null = 1: as many staggered books as the horizon has bars",
    )
    capital_base: Literal["leg", "gross"] = Field(
        description="what returns are a share of: the notional of one leg, or the sum "
        "of both"
    )
    cost_bps_per_side: float | None = Field(
        ge=0,
        description="basis points of traded notional, entry included; null = those of "
        "the evaluation",
    )
    borrow_bps_per_year: float = Field(
        ge=0, description="basis points a year of the notional that is held short"
    )
    exit_at_end: bool = Field(
        description="whether the book is sold, at its cost, at the last bar of a split"
    )
    benchmark: Literal["equal_weight"] | None = Field(
        description="equal_weight: all tradable symbols, long, by the same rules and "
        "costs; null = none"
    )
    volume_share: float = Field(
        gt=0,
        le=1,
        description="share of a name's usual dollar volume of a bar that a trade may "
        "take; it gives the capacity",
    )
    volume_bars: int = Field(
        ge=1, description="bars of the median that is the usual dollar volume"
    )
