"""Router: from the states of both sides to one decision per target and symbol."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from ranking_pipeline.routing.config import RoutingConfig
from ranking_pipeline.routing.states import (
    DISALLOWED,
    EXPERIMENTAL,
    GOOD,
    OK,
    POOLED,
    SYMBOL,
    records,
)
from ranking_pipeline.selection.leakage import BLOCKED as LEAKED

CROSS_SECTIONAL, SYMBOL_SPECIFIC = "CROSS_SECTIONAL", "SYMBOL_SPECIFIC"
BOTH, BLOCKED = "BOTH", "BLOCKED"


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
        ``status`` is ``routed``, ``nothing_routable`` (every target is blocked) or the
        status of the selection when no target was selected.
    """
    targets = {
        target: _target_plan(candidates[candidates["target"] == target], config)
        for target in selection["targets"]
    }
    open_routes = [plan for plan in targets.values() if plan["route"] != BLOCKED]
    status = "routed" if open_routes else "nothing_routable"
    if not targets:
        status = str(selection["status"])
    return {"status": status, "mode": config.mode, "targets": targets}


def _target_plan(rows: pd.DataFrame, config: RoutingConfig) -> dict[str, Any]:
    pooled = records(rows[rows["mode"] == POOLED])[0]
    symbols = records(rows[rows["mode"] == SYMBOL])
    if config.mode == "cross_sectional":
        return _forced_pooled(pooled)
    if config.mode == "symbol_specific":
        return _forced_symbols(symbols, config)
    decisions = {
        row["symbol"]: _symbol_decision(pooled, row, config) for row in symbols
    }
    best = _best_state([row["state"] for row in symbols])
    route = combine_states(pooled["state"], best)
    reason = f"pooled {pooled['state']}: {pooled['reason']}"
    if symbols:
        reason += f"; {_count(symbols)}"
    return {"route": route, "reason": reason, "symbols": decisions}


def _symbol_decision(
    pooled: dict[str, Any], row: dict[str, Any], config: RoutingConfig
) -> dict[str, str]:
    """Route of one symbol; its own model only where it beats the pooled one there."""
    state = pooled["state"]
    harmful = not (row["pooled_score"] > 0 and row["pooled_t"] >= config.min_t)
    if row["state"] in GOOD and harmful:
        # the pooled model may be good elsewhere: on this symbol it is not
        state = DISALLOWED
    route = combine_states(state, row["state"])
    return {"route": route, "reason": f"symbol {row['state']}: {row['reason']}"}


def _best_state(states: list[str]) -> str:
    if GOOD & set(states):
        return OK
    return EXPERIMENTAL if EXPERIMENTAL in states else DISALLOWED


def _count(symbols: list[dict[str, Any]]) -> str:
    good = sum(row["state"] in GOOD for row in symbols)
    trial = sum(row["state"] == EXPERIMENTAL for row in symbols)
    text = f"{good} of {len(symbols)} symbols beat it with a model of their own"
    return f"{text}, {trial} experimental" if trial else text


def _forced_pooled(pooled: dict[str, Any]) -> dict[str, Any]:
    leaked = pooled["leakage_status"] == LEAKED
    reason = pooled["reason"] if leaked else "forced by routing.mode"
    route = BLOCKED if leaked else CROSS_SECTIONAL
    return {"route": route, "reason": reason, "symbols": {}}


def _forced_symbols(
    symbols: list[dict[str, Any]], config: RoutingConfig
) -> dict[str, Any]:
    decisions = {}
    for row in symbols:
        refused = (
            row["leakage_status"] == LEAKED or row["n_rows"] < config.min_symbol_rows
        )
        decisions[row["symbol"]] = {
            "route": BLOCKED if refused else SYMBOL_SPECIFIC,
            "reason": row["reason"] if refused else "forced by routing.mode",
        }
    trained = sum(d["route"] == SYMBOL_SPECIFIC for d in decisions.values())
    return {
        "route": SYMBOL_SPECIFIC if trained else BLOCKED,
        "reason": f"forced by routing.mode; {trained} of {len(symbols)} symbols",
        "symbols": decisions,
    }
