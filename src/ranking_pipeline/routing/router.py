"""Router: from the states of both sides to one decision per target and symbol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ranking_pipeline.routing import explain
from ranking_pipeline.routing.config import RoutingConfig
from ranking_pipeline.routing.routing_plan import (
    ROUTING_SCHEMA_VERSION,
    Limits,
    PooledEvidence,
    RoutingPlan,
    SymbolRoute,
)
from ranking_pipeline.routing.states import (
    DISALLOWED,
    EXPERIMENTAL,
    GOOD,
    OK,
    PARTIAL,
    POOLED,
    SYMBOL,
    records,
    rows_needed,
    thresholds,
)
from ranking_pipeline.selection.leakage import BLOCKED as LEAKED

CROSS_SECTIONAL, SYMBOL_SPECIFIC = "CROSS_SECTIONAL", "SYMBOL_SPECIFIC"
BOTH, BLOCKED = "BOTH", "BLOCKED"
Row = dict[str, Any]


def combine_states(pooled: str, symbol: str) -> str:
    """Route for a pair of states; STRONG counts as OK.

    ========================  ============  ==============  ===============
    pooled                    symbol OK     EXPERIMENTAL    DISALLOWED
    ========================  ============  ==============  ===============
    OK                        BOTH          CROSS_SECTIONAL CROSS_SECTIONAL
    EXPERIMENTAL              SYMBOL_SPEC.  EXPERIMENTAL    EXPERIMENTAL
    DISALLOWED                SYMBOL_SPEC.  EXPERIMENTAL    BLOCKED
    ========================  ============  ==============  ===============
    """
    if symbol in GOOD:
        return BOTH if pooled in GOOD else SYMBOL_SPECIFIC
    if pooled in GOOD:
        return CROSS_SECTIONAL
    return EXPERIMENTAL if EXPERIMENTAL in {pooled, symbol} else BLOCKED


def make_routing_plan(
    candidates: pd.DataFrame, selection: Mapping[str, Any], config: RoutingConfig
) -> dict[str, Any]:
    """Decide for each selected target, and each of its symbols.

    A target's route says which jobs it needs: BOTH is a pooled model for most symbols
    and own models for some. A symbol's route says whose score it takes: BOTH is the
    average of the two. A symbol that is not listed follows the target: the pooled model
    where there is one.

    Parameters
    ----------
    candidates : DataFrame
        With states.
    selection : mapping
        ``selected_targets``.
    config : RoutingConfig

    Returns
    -------
    dict
        A valid :class:`~ranking_pipeline.routing.routing_plan.RoutingPlan`. ``status``
        is ``routed``, ``nothing_routable`` (every target is blocked) or the status of
        the selection when no target was selected.
    """
    targets = {
        target: _target_plan(candidates[candidates["target"] == target], config)
        for target in selection["targets"]
    }
    status = "routed"
    if all(plan["route"] == BLOCKED for plan in targets.values()):
        status = "nothing_routable" if targets else str(selection["status"])
    plan = RoutingPlan.model_validate(
        {
            "schema_version": ROUTING_SCHEMA_VERSION,
            "status": status,
            "reason": str(selection.get("reason", "")),
            "mode": config.mode,
            "experimental_share": config.experimental_share,
            "targets": targets,
        }
    )
    return plan.model_dump(mode="json")


def _target_plan(rows: pd.DataFrame, config: RoutingConfig) -> dict[str, Any]:
    pooled = records(rows[rows["mode"] == POOLED])[0]
    symbols = records(rows[rows["mode"] == SYMBOL])
    route, reason = _target_route(pooled, symbols, config)
    view, n_symbols = str(pooled["view"]), int(pooled["n_symbols"])
    return {
        "route": route,
        "reason": reason,
        "decision": explain.decision(route, pooled, symbols, config.mode),
        "would_change": explain.would_change(pooled, symbols, config),
        "view": view,
        "view_note": explain.view_note(view, n_symbols, config),
        "task": pooled["task"],
        "metric": pooled["metric"],
        "pooled": {**_only(pooled, PooledEvidence), "limits": _limits(pooled, config)},
        "symbol_limits": _limits({**pooled, "mode": SYMBOL}, config),
        "symbols_note": explain.symbols_note(view, n_symbols, symbols, config),
        "symbols": {
            row["symbol"]: {
                **_only(row, SymbolRoute),
                **_symbol_route(pooled, row, config),
            }
            for row in (() if config.mode == "cross_sectional" else symbols)
        },
        "partial_pooling": _partial_pooling(rows, pooled),
    }


def _target_route(
    pooled: Row, symbols: Sequence[Row], config: RoutingConfig
) -> tuple[str, str]:
    """Route of a target and the facts in short."""
    forced = "forced by routing.mode"
    if config.mode == "cross_sectional":
        leaked = pooled["leakage_status"] == LEAKED
        return (BLOCKED, pooled["reason"]) if leaked else (CROSS_SECTIONAL, forced)
    if config.mode == "symbol_specific":
        trained = sum(not _refused(row, config) for row in symbols)
        text = f"{forced}; {trained} of {len(symbols)} symbols"
        return (SYMBOL_SPECIFIC if trained else BLOCKED), text
    best = _best_state([row["state"] for row in symbols])
    reason = f"pooled {pooled['state']}: {pooled['reason']}"
    if symbols:
        reason += f"; {_count(pooled, symbols)}"
    return combine_states(pooled["state"], best), reason


def _symbol_route(pooled: Row, row: Row, config: RoutingConfig) -> dict[str, str]:
    """Route of one symbol; its own model only where it beats the pooled one there."""
    if config.mode == "symbol_specific":
        if _refused(row, config):
            return {"route": BLOCKED, "reason": row["reason"]}
        return {"route": SYMBOL_SPECIFIC, "reason": "forced by routing.mode"}
    state = pooled["state"]
    harmful = not (row["pooled_score"] > 0 and row["pooled_t"] >= config.min_t)
    if row["state"] in GOOD and harmful:
        # the pooled model may be good elsewhere: on this symbol it is not
        state = DISALLOWED
    route = combine_states(state, row["state"])
    return {"route": route, "reason": f"symbol {row['state']}: {row['reason']}"}


def _refused(row: Row, config: RoutingConfig) -> bool:
    """Whether even a forced plan trains no model of a symbol."""
    return bool(
        row["leakage_status"] == LEAKED or row["n_rows"] < config.min_symbol_rows
    )


def _best_state(states: list[str]) -> str:
    if GOOD & set(states):
        return OK
    return EXPERIMENTAL if EXPERIMENTAL in states else DISALLOWED


def _count(pooled: Row, symbols: Sequence[Row]) -> str:
    good = sum(row["state"] in GOOD for row in symbols)
    trial = sum(row["state"] == EXPERIMENTAL for row in symbols)
    text = f"{good} of {len(symbols)} symbols earn a model of their own"
    what = "more would be hopeful" if pooled["state"] in GOOD else "more on trial"
    return f"{text}, {trial} {what}" if trial else text


def _limits(row: Row, config: RoutingConfig) -> Limits:
    found = thresholds(row, config)
    return Limits(
        min_score=found.min_score,
        strong_score=found.strong_score,
        suspicious_score=found.suspicious_score,
        min_rows=rows_needed(row, config),
        min_t=config.min_t,
        false_discovery_rate=config.false_discovery_rate,
    )


def _only(row: Row, model: type[PooledEvidence | SymbolRoute]) -> Row:
    """Columns that a part of the plan holds; null where a number is missing."""
    return {k: _plain(row[k]) for k in model.model_fields if k in row}


def _plain(value: Any) -> Any:
    missing = isinstance(value, float) and not np.isfinite(value)
    return None if missing else value


def _partial_pooling(rows: pd.DataFrame, pooled: Row) -> dict[str, Any] | None:
    found = records(rows[rows["mode"] == PARTIAL])
    if not found or pooled["leakage_status"] == LEAKED:
        return None
    summary = next(row for row in found if not row["symbol"])
    facts = {k: _plain(summary[k]) for k in ("score", "t", "delta", "delta_t")}
    return {
        **facts,
        "mean": summary["slope"],
        "tau": summary["slope_spread"],
        "slopes": {row["symbol"]: row["slope"] for row in found if row["symbol"]},
        "reason": summary["reason"],
    }
