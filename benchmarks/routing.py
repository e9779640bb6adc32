"""routing: do routes beat one pooled model and one model per symbol, and are they right.

Two kinds of market, each drawn anew for every seed: the embedded one, where 8 of 96 names
answer to the signal the other way, and gen_panel's, where a third of 500 names carries no
signal, a third the common one and a third its opposite. Every plan is scored on the same
rows of the test block; a blocked cell takes the median of its bar.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks.harness import Row, row
from benchmarks.routing_market import (
    GEN_PANEL,
    RoutingMarket,
    embedded_market,
    generated_market,
)
from ranking_pipeline.evaluation.inference import block_length, block_test

Series = npt.NDArray[np.float64]
FIRST_SEED = 301
GENERATED_SHARE = 10  # a generated market costs ten times an embedded one
STRENGTHS = (0.25, 0.06)
PROVEN_ROUTES = frozenset({"SYMBOL_SPECIFIC", "BOTH"})
PLANS = ("pooled", "all per symbol", "routed", "partial pooling")


def run(rounds: int | None) -> list[Row]:
    """Draw ``rounds`` embedded markets (30 by default), and a tenth as many others.

    The seeds are fixed and nothing was tuned on them.
    """
    rounds = rounds or 30
    markets = _table(embedded_market(FIRST_SEED + k) for k in range(rounds))
    made = list(_embedded_rows(markets))
    if not GEN_PANEL.exists():
        print(f"{GEN_PANEL} does not exist: its markets are left out")
        return made
    seeds = range(FIRST_SEED, FIRST_SEED + max(1, rounds // GENERATED_SHARE))
    for strength in STRENGTHS:
        found = _table(generated_market(seed, strength) for seed in seeds)
        made += _generated_rows(found, strength)
    return made


def _table(markets: Iterator[RoutingMarket]) -> pd.DataFrame:
    rows = []
    for market in markets:
        rows.append(_one_market(market))
        print(pd.DataFrame(rows[-1:]).to_string(index=False, float_format="%.4f"))
    return pd.DataFrame(rows)


def _one_market(market: RoutingMarket) -> dict[str, Any]:
    """Rank IC of every plan, their paired t, and how right the symbol routes are."""
    found = market.routes(max_symbols_for_symbol_routes=market.panel.n_symbols)
    auto = found.plans["auto"]
    scores = {
        "pooled": market.routed(found.plans["cross_sectional"]),
        "all per symbol": market.routed(found.plans["symbol_specific"]),
        "routed": market.routed(auto),
        "partial pooling": market.partially_pooled(auto),
    }
    ics = _common({name: market.rank_ic(scores[name]) for name in PLANS})
    routes = auto["targets"]["fwd_ret_1d"]["symbols"]
    chosen = {name for name, entry in routes.items() if entry["route"] in PROVEN_ROUTES}
    length = block_length(market.lag, 1)
    against = {
        f"t over {rival}": block_test(ics["routed"] - ics[rival], length).t
        for rival in ("pooled", "all per symbol")
    }
    means = {name: float(ic.mean()) for name, ic in ics.items()}
    means["own names"] = len(chosen)
    return {"seed": market.seed, **means, **against, **_accuracy(market, chosen)}


def _common(ics: dict[str, Series]) -> dict[str, Series]:
    """The same bars for all; no opinion on a whole bar earns a rank IC of 0 there."""
    measured = np.isfinite(ics["pooled"])
    return {name: np.nan_to_num(ic[measured]) for name, ic in ics.items()}


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


def _embedded_rows(markets: pd.DataFrame) -> Iterator[Row]:
    wins = (markets["routed"] > markets["pooled"]) & (
        markets["routed"] > markets["all per symbol"]
    )
    yield from _scores(markets, "8 of 96 reversed")
    for case, unit, values in (
        ("routed beats both uniform plans", "count", wins.astype(float)),
        ("recall of the reversed names", "share", markets["recall"]),
        ("false symbol routes", "count", markets["false routes"].astype(float)),
    ):
        made = row(f"8 of 96 reversed: {case}", unit, values.tolist())
        yield made | {"mean": float(values.mean()), "total": float(values.sum())}


def _generated_rows(markets: pd.DataFrame, strength: float) -> Iterator[Row]:
    name = f"thirds of 500, strength {strength:g}"
    yield from _scores(markets, name)
    for case, unit in (
        ("balanced accuracy", "share"),
        ("share of routes false", "share"),
        ("false share of the others", "share"),
        ("t over pooled", "standard errors"),
        ("t over all per symbol", "standard errors"),
    ):
        values = markets[case]
        made = row(f"{name}: {case}", unit, values.tolist())
        yield made | {"mean": float(values.mean())}


def _scores(markets: pd.DataFrame, name: str) -> Iterator[Row]:
    for plan in PLANS:
        made = row(f"{name}: {plan}", "rank IC", markets[plan].tolist())
        yield made | {"mean": float(markets[plan].mean())}
