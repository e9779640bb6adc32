"""Verdict: what an evaluation found, in plain sentences."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ranking_pipeline.evaluation.formats import percent

CLEAR_T = 2.0
OVER_TIME = (
    "So few symbols have no ranks within a bar: every IC here is the rank correlation "
    "of score and payoff over time, averaged over the symbols, and the book holds each "
    "symbol by the place of its score among its own past scores. "
)


def verdict(facts: Mapping[str, Any]) -> str:
    """Say what was found, and whether it beats the best baseline and its costs.

    Parameters
    ----------
    facts : mapping
        ``Evaluation.summary``.

    Returns
    -------
    str
    """
    chosen = facts["chosen"]
    if chosen is None and facts["n_models"]:
        return (
            f"{facts['n_models']} rows were trained, but none could be measured on "
            "validation: too few symbols a bar. Lower "
            "evaluation.min_symbols_per_timestamp for a small universe."
        )
    if chosen is None:
        return (
            f"{_view(facts)}No model was trained on {facts['primary_target']}, so there "
            "is nothing to choose; the best baseline on validation is "
            f"{_named(facts['baseline'])}."
        )
    parts = [
        _view(facts),
        _other_target(facts),
        f"Best row on validation for {facts['target']}: {_named(chosen)}",
        f", against {_named(facts['baseline'])} for the best baseline. ",
        _difference(facts["paired"]),
        _share(chosen),
        _money(chosen, facts),
    ]
    return "".join(parts)


def headline(facts: Mapping[str, Any]) -> str:
    """Give the verdict in a few words, for the top of the report."""
    chosen, paired = facts["chosen"], facts["paired"]
    if chosen is None:
        measured = "Models without a measurement: too few symbols a bar"
        return (
            measured
            if facts["n_models"]
            else "Nothing predictable: no model was trained"
        )
    if not math.isfinite(_number(chosen["ic_t"])):
        return "Too few test bars to judge"
    skilled, better = _clear(chosen["ic_t"]), _clear(paired["t"])
    paid = _number(chosen["net_bps_per_bar"]) > 0
    if not skilled:
        return "No skill that the test split can confirm"
    if not better:
        return "Skill on the test split, but no clear advantage over the best baseline"
    after = (
        "and it pays for its costs"
        if paid
        else "but it costs more to trade than it earns"
    )
    return f"Skill beyond the best baseline, {after}"


def _view(facts: Mapping[str, Any]) -> str:
    return OVER_TIME if facts.get("over_time") else ""


def _other_target(facts: Mapping[str, Any]) -> str:
    if facts["target"] == facts["primary_target"]:
        return ""
    return (
        f"No model was trained on the primary target, {facts['primary_target']}: "
        "this is about the target with the clearest row on validation. "
    )


def _named(row: Mapping[str, Any]) -> str:
    lag = int(row["entry_lag_bars"])
    ic, t = _fixed(row["rank_ic"], 3), _fixed(row["ic_t"], 1)
    return f"{row['model_id']}, test IC {ic} (t {t}) at lag {lag}"


def _difference(paired: Mapping[str, Any]) -> str:
    low, high = _fixed(paired["ci_low"], 3), _fixed(paired["ci_high"], 3)
    word = "clear" if _clear(paired["t"]) else "not clear"
    if _number(paired["t"]) < -CLEAR_T:
        word = "clear, and in the baseline’s favour"
    gap = _fixed(paired["difference"], 3)
    smallest = _fixed(paired["minimum_detectable_effect"], 3)
    return (
        f"The difference of {gap} (95 % {low} to {high}) is {word}; {smallest} is the "
        "smallest that this test split could show. "
    )


def _money(chosen: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    gross, net = (_fixed(chosen[f"{name}_bps_per_bar"], 1) for name in ("gross", "net"))
    sentence = (
        f"Its ±1 book earns {gross} bps a bar gross and {net} after "
        f"{facts['cost_bps_per_side']:g} bps a side (net Sharpe "
        f"{_fixed(chosen['net_sharpe'], 1)}"
    )
    lucky = _number(facts["lucky_sharpe"])
    if math.isfinite(lucky):
        sentence += (
            f"; the luckiest of {facts['n_models']} rows without skill would show "
            f"{_fixed(lucky, 1)}"
        )
    return sentence + ")."


def _share(chosen: Mapping[str, Any]) -> str:
    share = _number(chosen["share_of_oracle"])
    if not math.isfinite(share):
        return ""
    return f"Its IC is {percent(round(share, 2))} of the planted signal’s own. "


def _clear(t: Any) -> bool:
    return _number(t) > CLEAR_T


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)


def _fixed(value: Any, digits: int) -> str:
    """Format a number with a true minus, or say that it is missing."""
    number = _number(value)
    if not math.isfinite(number):
        return "not measurable"
    return f"{number:.{digits}f}".replace("-", "−")
