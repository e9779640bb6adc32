"""Explain: which rule decided a route, and what would have changed it, in sentences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ranking_pipeline.routing.config import RoutingConfig
from ranking_pipeline.routing.states import (
    AGAINST_POOLED,
    DISALLOWED,
    EXPERIMENTAL,
    GOOD,
    RULES,
    rows_needed,
    thresholds,
)

Row = dict[str, Any]
ROUTE_MEANING = {
    "CROSS_SECTIONAL": "one pooled model serves all symbols",
    "SYMBOL_SPECIFIC": "the symbols listed below get models of their own",
    "BOTH": "a pooled model serves most symbols, and those listed below get models of "
    "their own as well",
    "EXPERIMENTAL": "it is trained on trial: the evidence is hopeful, not sure",
    "BLOCKED": "nothing is trained for it",
}


def decision(route: str, pooled: Row, symbols: Sequence[Row], mode: str) -> str:
    """Sentence on the rule that decided the route of a target."""
    if mode != "auto":
        return _forced(route, pooled, mode)
    text = f"The pooled model is {pooled['state']}: {RULES[pooled['rule']]}."
    if symbols:
        good = sum(row["state"] in GOOD for row in symbols)
        text += f" {good} of {len(symbols)} symbols earn a model of their own"
        text += _trial(pooled, symbols)
    text += f" So the route is {route}: {ROUTE_MEANING[route]}"
    return f"{text}{_rest(route, pooled)}."


def _trial(pooled: Row, symbols: Sequence[Row]) -> str:
    trial = sum(row["state"] == EXPERIMENTAL for row in symbols)
    if not trial:
        return "."
    if pooled["state"] in GOOD:
        return f"; {trial} more would be hopeful, but the pooled model is good enough."
    return f"; {trial} more are on trial."


def _forced(route: str, pooled: Row, mode: str) -> str:
    if route == "BLOCKED":
        return f"routing.mode is {mode}, but {RULES[pooled['rule']]}."
    return (
        f"routing.mode is {mode}, so the route is {route} whatever the evidence; a leak "
        "or too few rows of a symbol would still have closed it."
    )


def _rest(route: str, pooled: Row) -> str:
    """What becomes of the symbols without a model of their own."""
    if route != "SYMBOL_SPECIFIC":
        return ""
    if pooled["state"] == EXPERIMENTAL:
        return "; the rest take the pooled model, on trial"
    return "; the rest have no opinion and take the median of their bar"


def would_change(
    pooled: Row, symbols: Sequence[Row], config: RoutingConfig
) -> list[str]:
    """Sentences on what would have led to another route, nearest symbols first."""
    if config.mode != "auto":
        return ["routing.mode: auto, which decides by the evidence."]
    sentences = [_pooled_change(pooled, config)]
    if pooled["leakage_status"] != "BLOCKED":
        sentences += _symbol_changes(symbols, config)
    return sentences


def _pooled_change(row: Row, config: RoutingConfig) -> str:
    limits = thresholds(row, config)
    if row["rule"] == "passed":
        return (
            f"Pooled: a score lower by more than {row['score'] - limits.min_score:.3f} "
            f"(then at most {limits.min_score:g}: not trained), or a t below "
            f"{config.min_t:g} (then EXPERIMENTAL); the t is {row['t']:.1f}."
        )
    if row["rule"] == "weak_t":
        return _longer(row, config)
    leak = (
        "Selecting features again without the ones that leakage_report blocks; if none "
        f"is blocked, a score below {limits.suspicious_score:g}."
    )
    return {
        "leakage": leak,
        "too_good": leak,
        "few_rows": f"Pooled: {rows_needed(row, config)} train rows (it has "
        f"{row['n_rows']}), by a longer history or more symbols.",
        "one_symbol": "Pooled: a second symbol.",
        "unmeasured": "Pooled: at least eight blocks of bars on which the score varies.",
        "below_minimum": f"Pooled: a score above {limits.min_score:g}. The interval says "
        f"that the true one lies between {row['ci_low']:.3f} and {row['ci_high']:.3f}.",
    }[row["rule"]]


def _longer(row: Row, config: RoutingConfig) -> str:
    text = f"Pooled: a t of {config.min_t:g} (it is {row['t']:.1f})"
    if row["t"] > 0:
        bars = math.ceil(row["n_bars"] * (config.min_t / row["t"]) ** 2)
        text += f"; the same score over about {bars} bars instead of {row['n_bars']}"
    return f"{text}."


def _symbol_changes(symbols: Sequence[Row], config: RoutingConfig) -> list[str]:
    """The symbols that came nearest to a model of their own."""
    refused = [
        row
        for row in symbols
        if row["state"] in {DISALLOWED, EXPERIMENTAL} and row["rule"] in NEARLY
    ]
    if not refused:
        return []
    against_pooled = refused[0]["compared_with"] == AGAINST_POOLED
    key = "q" if against_pooled else "own_q"
    refused.sort(key=lambda row: (row[key], -row["score"], row["symbol"]))
    nearest = ", ".join(f"{row['symbol']} (q {row[key]:.2f})" for row in refused[:3])
    need = f"a q of at most {config.false_discovery_rate:g}"
    what = "for the difference from the pooled model" if against_pooled else ""
    return [f"Symbols: {need} {what}".rstrip() + f"; nearest were {nearest}."]


NEARLY = frozenset({"unsure", "experimental_cap"})


def symbols_note(
    view: str, n_symbols: int, symbols: Sequence[Row], config: RoutingConfig
) -> str:
    """How symbols were compared, or why they were not."""
    limit = config.max_symbols_for_symbol_routes
    if config.mode == "cross_sectional":
        return "Symbols were not compared: routing.mode is cross_sectional."
    if n_symbols > limit:
        return (
            f"Symbols were not compared one by one: the universe has {n_symbols}, "
            f"routing.max_symbols_for_symbol_routes is {limit}. Raise it to ask."
        )
    if not symbols:
        return "No symbol has train rows of its own."
    place = "place among the bars" if view == "time_series" else "place in its bar"
    meaning = f"Scores are correlations over time with the outcome's {place}."
    if symbols[0]["compared_with"] == AGAINST_POOLED:
        return (
            f"{len(symbols)} symbols: a {config.symbol_family} model of each against the "
            f"pooled model, on the same rows. {meaning}"
        )
    return (
        f"{len(symbols)} symbols: a {config.symbol_family} model of each by itself, "
        f"since no pooled model is trained. {meaning}"
    )


def view_note(view: str, n_symbols: int, config: RoutingConfig) -> str:
    """What the scores of a target are correlations of."""
    if view == "cross_section":
        return "Symbols are compared with each other, bar by bar."
    return (
        f"The universe has {n_symbols} symbols, fewer than routing.min_symbols "
        f"({config.min_symbols}): there is no cross-section, so each symbol is compared "
        "with itself over time."
    )
