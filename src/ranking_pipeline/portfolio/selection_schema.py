"""Selection schema: what every document of ``portfolio_selection`` must hold.

``portfolio_selection.schema.json`` says the same to other programs; what it cannot say,
that the parts of a document fit together, is checked here alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

Leg = Literal["long", "short"]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Weight = Annotated[float, Field(ge=-1.000001, le=1.000001)]
Count = Annotated[int, Field(ge=0)]
Source = Literal["model", "algorithmic_only"]
ScoreUnit = Literal[
    "composite", "return", "normal_score", "class_score", "order", "mixed"
]
_SUM_ERROR = 1e-6


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class ExclusionDocument(_Strict):
    """Why a candidate is left out."""

    code: Literal[
        "missing_bar", "not_member", "not_tradable", "low_coverage",
        "score_not_finite", "short_history", "no_variation", "weight_zero",
    ]  # fmt: skip
    reason: str


class SelectionMetadata(_Strict):
    """From when, what and whom a portfolio is."""

    sector: str
    month: str = Field(pattern=r"^\d{4}-\d{2}$")
    date: str
    asof_date: str | None
    first_trading_date: str | None
    num_candidates: Count
    total_candidates: Count
    valid_stocks: Count
    excluded_stocks: list[str]
    exclusion_reasons: dict[str, ExclusionDocument]
    model_version: str | None
    model_alias: str | None
    promoted_version: str | None
    model_id: str | None
    target: str | None
    score_unit: ScoreUnit
    informed_until: str | None
    seeds: list[int]
    entry_lag_bars: Count
    versions: dict[str, str]


class SelectionDocument(_Strict):
    """Portfolio of one sector (or all) and one month."""

    selected_stocks: list[str]
    predicted_scores: list[Finite]
    portfolio_weights: dict[str, Weight]
    source: Source
    status: Literal["done", "no_candidates"]
    legs: dict[str, Leg]
    composite_scores: dict[str, Finite]
    metadata: SelectionMetadata

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        names = set(self.selected_stocks)
        if len(names) < len(self.selected_stocks):
            raise ValueError("selected_stocks names a symbol twice")
        if len(self.predicted_scores) != len(self.selected_stocks):
            raise ValueError("predicted_scores has not one score per symbol")
        for part in ("portfolio_weights", "legs", "composite_scores"):
            if set(getattr(self, part)) != names:
                raise ValueError(f"{part} is not of the selected_stocks")
        for leg, whole in (("long", 1.0), ("short", -1.0)):
            own = [w for n, w in self.portfolio_weights.items() if self.legs[n] == leg]
            if own and not math.isclose(math.fsum(own), whole, abs_tol=_SUM_ERROR):
                raise ValueError(f"the {leg} leg sums to {math.fsum(own):g}")
        return self


def check_selections(documents: Sequence[dict[str, Any]]) -> None:
    """Refuse documents that break their contract, before they are saved.

    Raises
    ------
    ValidationError
        Naming the place of the first fault.
    """
    TypeAdapter(list[SelectionDocument]).validate_python(documents)
