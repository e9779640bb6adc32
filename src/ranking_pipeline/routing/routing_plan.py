"""Routing plan: what was decided for each target and symbol, with its evidence."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, ValidationError

from ranking_pipeline.config import Config
from ranking_pipeline.errors import UserError

ROUTING_SCHEMA_VERSION = 1
Route = Literal["CROSS_SECTIONAL", "SYMBOL_SPECIFIC", "BOTH", "EXPERIMENTAL", "BLOCKED"]
State = Literal["STRONG", "OK", "EXPERIMENTAL", "DISALLOWED"]
Number = float | None  # null where it was not measured


class Limits(Config):
    """Thresholds that applied, in the unit of the metric."""

    min_score: float
    strong_score: float
    suspicious_score: float
    min_rows: int = Field(description="fewest train rows")
    min_t: float
    false_discovery_rate: float


class PooledEvidence(Config):
    """The pooled model, out of fold inside the train span."""

    state: State
    rule: str = Field(description="key of the rule that decided the state")
    score: Number = Field(description="in the unit of the target's metric")
    ci_low: Number = Field(description="95 % interval of the score")
    ci_high: Number
    t: Number = Field(description="block t of the score against no skill")
    q: Number = Field(description="false discovery rate over the targets")
    n_rows: int
    n_bars: int
    n_symbols: int
    stability: str = Field(description="of the feature importances; reported only")
    jaccard: Number
    kendall_tau: Number
    leakage_status: str
    feature_set_id: str
    failed_model_families: tuple[str, ...]
    limits: Limits


class SymbolRoute(Config):
    """One symbol: its route, and its own model against the pooled one."""

    route: Route
    reason: str
    state: State
    rule: str
    score: Number = Field(description="of its own model, in the unit of the metric")
    t: Number
    ci_low: Number
    ci_high: Number
    own_q: Number = Field(description="false discovery rate of the score")
    pooled_score: Number = Field(description="correlation of the pooled score here")
    pooled_t: Number
    compared_with: str = Field(description="pooled, or nothing where none is trained")
    delta: Number = Field(description="own minus pooled, correlation, same rows")
    delta_t: Number
    q: Number = Field(description="false discovery rate of the difference")
    expected_gain: Number = Field(description="the difference, given all symbols'")
    expected_score: Number = Field(description="the correlation, given all symbols'")
    n_rows: int
    stability: str


class PartialPoolingResult(Config):
    """Pooled score times a slope per symbol: compared, not decided on."""

    mean: float
    tau: float = Field(description="spread of the true slopes")
    slopes: dict[str, float]
    score: Number
    t: Number
    delta: Number = Field(description="over the pooled score, out of fold")
    delta_t: Number
    reason: str


class TargetRoute(Config):
    """One target: its route and everything behind it."""

    route: Route
    reason: str = Field(description="the facts in short")
    decision: str = Field(description="the rule that decided, as a sentence")
    would_change: tuple[str, ...] = Field(description="what would have changed it")
    view: Literal["cross_section", "time_series"]
    view_note: str
    task: str
    metric: str
    pooled: PooledEvidence
    symbol_limits: Limits
    symbols_note: str = Field(description="how symbols were compared, or why not")
    symbols: dict[str, SymbolRoute]
    partial_pooling: PartialPoolingResult | None


class RoutingPlan(Config):
    """Every decision on what is trained, with its evidence."""

    schema_version: Literal[1]
    status: str = Field(description="routed, nothing_routable, nothing_predictable …")
    reason: str
    mode: Literal["auto", "cross_sectional", "symbol_specific"]
    experimental_share: float
    targets: dict[str, TargetRoute]


def read_routing_plan(document: Mapping[str, Any]) -> RoutingPlan:
    """Check a stored routing plan against its schema.

    Raises
    ------
    UserError
        Naming every fault.
    """
    try:
        return RoutingPlan.model_validate_json(json.dumps(document))
    except ValidationError as error:
        faults = [
            f"{'.'.join(map(str, fault['loc'])) or 'plan'}: {fault['msg']}"
            for fault in error.errors()
        ]
        raise UserError(
            "routing_plan is not valid: " + "; ".join(faults) + ". Run routing again."
        ) from None


def routing_plan_schema() -> dict[str, Any]:
    """JSON schema of a routing plan."""
    return RoutingPlan.model_json_schema()
