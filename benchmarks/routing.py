"""routing: do routes beat one pooled model and one model per symbol, and are they right.

Two kinds of market, each drawn anew for every seed: the embedded one, where 8 of 96 names
answer to the signal the other way, and gen_panel's, where a third of 500 names carries no
signal, a third the common one and a third its opposite. Every plan is scored on the same
rows of the test block; a blocked cell takes the median of its bar.

To save time two of the families stand for the pooled ones, LightGBM and low_rank, and one
for the own models, ridge.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.harness import Row
from benchmarks.routing_goals import embedded_rows, generated_rows
from benchmarks.routing_market import (
    GEN_PANEL,
    TARGET,
    RoutingMarket,
    embedded_market,
    generated_market,
)
from benchmarks.routing_models import Block, MarketModels, pooled_trained
from ranking_pipeline.evaluation.inference import block_length, block_test

FIRST_EMBEDDED, FIRST_GENERATED = 701, 801
EMBEDDED_SEEDS, GENERATED_SEEDS = 30, 3
STRENGTHS = (0.25, 0.06)
PROVEN_ROUTES = frozenset({"SYMBOL_SPECIFIC", "BOTH"})
POOLED, ALONE, ROUTED = "pooled LightGBM", "all per symbol", "routed"
LOW_RANK, SLOPED = "pooled low_rank", "partial pooling"
ROUTED_LOW_RANK, CHOSEN = "routed, low_rank", "chosen on validation"


def run(rounds: int | None) -> list[Row]:
    """Draw ``rounds`` embedded markets (30 by default), and three of each other kind.

    The seeds are fixed and nothing was tuned on them.
    """
    seeds = range(FIRST_EMBEDDED, FIRST_EMBEDDED + (rounds or EMBEDDED_SEEDS))
    made = embedded_rows(_table(map(embedded_market, seeds)))
    if not GEN_PANEL.exists():
        print(f"{GEN_PANEL} does not exist: its markets are left out")
        return made
    others = range(FIRST_GENERATED, FIRST_GENERATED + GENERATED_SEEDS)
    for strength in STRENGTHS:
        found = _table(generated_market(seed, strength) for seed in others)
        made += generated_rows(found, strength)
    return made


def one_market(market: RoutingMarket) -> dict[str, Any]:
    """Rank IC of every plan, their paired differences, and how right the routes are.

    Returns
    -------
    dict
        ``seed``; the mean test rank IC by plan; ``A - B`` and ``se A - B``, the mean
        paired difference of two plans and its standard error; ``choice``, the plan with
        the best rank IC on validation among those that are trained; and the accuracy of
        the symbol routes.
    """
    plans = market.routes(max_symbols_for_symbol_routes=market.panel.n_symbols).plans
    models = MarketModels(market)
    rows = _rows(models, plans)
    choice = _choice(models, rows, plans["auto"])
    rows[CHOSEN] = rows.get(choice, pd.Series(dtype=np.float64))
    ics = {name: models.rank_ic(score, "test") for name, score in rows.items()}
    result: dict[str, Any] = {"seed": market.seed, "choice": choice}
    result |= {name: float(ic.mean()) for name, ic in ics.items()}
    length = block_length(market.lag, 1)
    for plan in (ROUTED, ROUTED_LOW_RANK, CHOSEN):
        for rival in (POOLED, ALONE):
            test = block_test(ics[plan] - ics[rival], length)
            result[f"{plan} - {rival}"] = test.mean
            result[f"se {plan} - {rival}"] = test.standard_error
    routes = plans["auto"]["targets"][TARGET]["symbols"]
    chosen = {name for name, entry in routes.items() if entry["route"] in PROVEN_ROUTES}
    return result | {"own names": len(chosen), **_accuracy(market, chosen)}


def _rows(models: MarketModels, plans: Mapping[str, Any]) -> dict[str, pd.Series]:
    auto = plans["auto"]
    return {
        POOLED: models.pooled("lightgbm").score,
        LOW_RANK: models.pooled("low_rank").score,
        ALONE: models.routed(plans["symbol_specific"], "lightgbm"),
        ROUTED: models.routed(auto, "lightgbm"),
        ROUTED_LOW_RANK: models.routed(auto, "low_rank"),
        SLOPED: models.partially_pooled(auto, "lightgbm"),
    }


def _choice(
    models: MarketModels, rows: Mapping[str, pd.Series], plan: Mapping[str, Any]
) -> str:
    """Best on validation of the rows that the plan trains; empty where it has none."""
    if plan["status"] != "routed":
        return ""
    trained = [name for name in rows if name != ALONE]
    if not pooled_trained(plan):
        trained = [ROUTED]
    block: Block = "validation"
    earned = {name: models.rank_ic(rows[name], block).mean() for name in trained}
    best: Callable[[str], float] = earned.__getitem__
    return max(earned, key=best)


def _table(markets: Iterator[RoutingMarket]) -> pd.DataFrame:
    rows = []
    for market in markets:
        rows.append(one_market(market))
        table = pd.DataFrame(rows[-1:])
        print(table.to_string(index=False, float_format="%.4f"), flush=True)
    return pd.DataFrame(rows)


def _accuracy(market: RoutingMarket, chosen: set[str]) -> dict[str, float]:
    """Recall, false routes and balanced accuracy of the names with an own model.

    An own model is due to the names that the pooled one cannot serve: the reversed
    ones, or, where thirds differ, all that have a signal.
    """
    loading = pd.Series(market.loading)
    generated = bool((loading == 0).any())
    due = loading != 0 if generated else loading < 0
    own = pd.Series(loading.index.isin(chosen), index=loading.index)
    recall, false = float(own[due].mean()), int((own & ~due).sum())
    return {
        "recall": recall,
        "false share of the others": float(own[~due].mean()),
        "false routes": false,
        "share of routes false": false / max(len(chosen), 1),
        "balanced accuracy": (recall + float((~own[~due]).mean())) / 2,
    }
