"""Rendering of the routing plan: every decision with its evidence, as Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from ranking_pipeline.evaluation.formats import format_cell
from ranking_pipeline.routing.markdown import table
from ranking_pipeline.routing.states import RULES

METRICS = {
    "rank_ic": "rank IC (Spearman's correlation of score and return within a bar)",
    "auc": "AUC within a bar (0.5 = no skill)",
    "time_series_ic": "correlation over time of score and return, symbol by symbol",
    "time_series_auc": "AUC over time, symbol by symbol (0.5 = no skill)",
}
ROUTE_OF_SYMBOL = {
    "SYMBOL_SPECIFIC": "its own model",
    "BOTH": "average of its own and the pooled model",
    "EXPERIMENTAL": "on trial",
    "BLOCKED": "no opinion: the median of its bar",
    "CROSS_SECTIONAL": "the pooled model",
}
_HOW = """\
Every figure is out of fold and inside the train span: validation and test play no part.
The t is that of means over blocks of bars, which allows for overlapping labels; intervals
are 95 %. A q is the false discovery rate: among decisions with a q of 0.1 or less, about
one in ten is expected to be wrong. Too few rows and leaks come before any score.
"""


def routing_markdown(plan: Mapping[str, Any]) -> str:
    """Render the routing plan: an overview, then each target's decision and evidence.

    Parameters
    ----------
    plan : mapping
        A routing plan.
    """
    lines = [
        "# Routing plan",
        "",
        f"Status: **{plan['status']}**, mode: {plan['mode']}",
    ]
    if not plan["targets"]:
        return "\n".join([*lines, "", *_nothing(plan)])
    lines += ["", *_HOW.splitlines(), "", *_overview(plan)]
    for name, target in plan["targets"].items():
        lines += ["", f"## {name}: {target['route']}", "", *_target(plan, target)]
    return "\n".join([*lines, ""])


def _nothing(plan: Mapping[str, Any]) -> list[str]:
    return [
        "No target was selected, so nothing is routed and no model is trained.",
        f"The reason of the selection: {plan['reason'] or 'none given'}.",
        "",
        "This is a result, not a failure: target_rankings has each target's score, t and "
        "q,",
        "and the report compares the baselines. What would change it: a target whose",
        "out-of-fold skill passes the false discovery rate of target_ranking, or",
        "target_ranking.auto = false with the targets named by hand.",
        "",
    ]


def _overview(plan: Mapping[str, Any]) -> list[str]:
    rows = [
        (
            name,
            target["route"],
            _score(target["pooled"]),
            _number(target["pooled"]["t"], 1),
            target["pooled"]["state"],
            _own_models(target),
            target["pooled"]["leakage_status"],
        )
        for name, target in plan["targets"].items()
    ]
    header = (
        "target",
        "route",
        "pooled score [95 %]",
        "t",
        "pooled",
        "own models",
        "leaks",
    )
    return table(header, rows)


def _own_models(target: Mapping[str, Any]) -> str:
    """Symbols with a model of their own, and those that get one on trial."""
    choices = list(target["symbols"].values())
    own = sum(choice["route"] in {"SYMBOL_SPECIFIC", "BOTH"} for choice in choices)
    # the route of a symbol may be the pooled model's trial
    trial = sum({one["route"], one["state"]} == {"EXPERIMENTAL"} for one in choices)
    more = f", {trial} on trial" if trial else ""
    return f"{own} of {len(choices)}{more}" if choices else "not compared"


def _target(plan: Mapping[str, Any], target: Mapping[str, Any]) -> list[str]:
    lines = [f"**Decision.** {target['decision']}", ""]
    lines += [
        f"**View.** {target['view_note']} Scores are the {METRICS[target['metric']]}."
    ]
    lines += ["", "### Pooled model", "", *_pooled(target["pooled"])]
    lines += ["", "### Symbols", "", target["symbols_note"], *_symbols(plan, target)]
    lines += ["", "### Partial pooling", "", *_partial(target["partial_pooling"])]
    lines += ["", "### What would have changed the decision", ""]
    return [*lines, *(f"- {sentence}" for sentence in target["would_change"])]


def _pooled(pooled: Mapping[str, Any]) -> list[str]:
    limits = pooled["limits"]
    scores = (
        f"above {limits['min_score']:g}; {limits['strong_score']:g} is strong, "
        f"{limits['suspicious_score']:g} a leak"
    )
    stable = f"Jaccard {_number(pooled['jaccard'], 2)}, tau "
    stable += _number(pooled["kendall_tau"], 2)
    rows = [
        ("leaks among its features", pooled["leakage_status"], "not BLOCKED"),
        ("train rows", f"{pooled['n_rows']:,}", f"at least {limits['min_rows']:,}"),
        ("score [95 %]", _score(pooled), scores),
        (f"t over {pooled['n_bars']} bars", _number(pooled["t"], 1),
         f"at least {limits['min_t']:g}"),
        ("q over the targets", format_cell(pooled["q"], "p"), "reported"),
        ("stability of importances", f"{pooled['stability']} ({stable})", "reported"),
    ]  # fmt: skip
    if pooled["failed_model_families"]:
        failed = ", ".join(pooled["failed_model_families"])
        rows.append(("families that failed", failed, "at least one must not"))
    verdict = f"State: **{pooled['state']}**: {RULES[pooled['rule']]}."
    return [*table(("what", "value", "needed"), rows), "", verdict]


def _symbols(plan: Mapping[str, Any], target: Mapping[str, Any]) -> list[str]:
    symbols = target["symbols"]
    if not symbols:
        return []
    follows = _followed(target)
    shown = {k: v for k, v in symbols.items() if v["route"] != follows}
    lines = ["", *_rules(plan, target["symbol_limits"]), ""]
    if shown:
        lines += [f"{len(shown)} of {len(symbols)} symbols differ:", "", *_table(shown)]
    else:
        lines += [f"None of the {len(symbols)} symbols differs."]
    rest = Counter(v["rule"] for k, v in symbols.items() if k not in shown)
    if rest:
        text = f"The other {rest.total()} ({ROUTE_OF_SYMBOL[follows]}):"
        lines += ["", text, "", *_counts(rest)]
    return lines


def _followed(target: Mapping[str, Any]) -> str:
    """Route of a symbol that is like the others."""
    good = target["pooled"]["state"] in {"STRONG", "OK"}
    if good:
        return "CROSS_SECTIONAL"
    return "EXPERIMENTAL" if target["pooled"]["state"] == "EXPERIMENTAL" else "BLOCKED"


def _rules(plan: Mapping[str, Any], limits: Mapping[str, Any]) -> list[str]:
    rate = f"{limits['false_discovery_rate']:g}"
    return [
        f"A symbol needs {limits['min_rows']:,} train rows and a score of its own above "
        f"{limits['min_score']:g}.",
        f"Where a pooled model is trained, its model must beat it: *proven*, the paired "
        f"difference has a q of {rate} or less;",
        f"or *misled*, the pooled score is below zero there with a q of {rate} or less;",
        f"or *expected*, its own score has a q of {rate} or less and the gain expected in "
        "the light of all symbols is above 0.",
        f"Where none is trained, *alone*: its own score has a q of {rate} or less. On "
        f"trial: t {limits['min_t']:g} in both,",
        f"at most {plan['experimental_share']:.0%} of the symbols, best scores first.",
    ]


def _table(shown: Mapping[str, Any]) -> list[str]:
    header = (
        "symbol", "route", "takes", "rule", "own score", "t", "own q", "pooled here", "t",
        "difference", "t", "q", "expected gain", "rows",
    )  # fmt: skip
    rows = [
        (
            name,
            v["route"],
            ROUTE_OF_SYMBOL[v["route"]],
            v["rule"],
            _signed(v["score"]),
            _number(v["t"], 1),
            format_cell(v["own_q"], "p"),
            _signed(v["pooled_score"]),
            _number(v["pooled_t"], 1),
            _signed(v["delta"]),
            _number(v["delta_t"], 1),
            format_cell(v["q"], "p"),
            _signed(v["expected_gain"]),
            v["n_rows"],
        )
        for name, v in sorted(shown.items(), key=lambda item: _by_difference(item[1]))
    ]
    return table(header, rows)


def _by_difference(choice: Mapping[str, Any]) -> tuple[str, float]:
    return choice["route"], -(choice["delta_t"] or 0.0)


def _counts(rules: Mapping[str, int]) -> list[str]:
    ordered = sorted(rules.items(), key=lambda item: (-item[1], item[0]))
    return [f"- {count}: {RULES[rule]}" for rule, count in ordered]


def _partial(found: Mapping[str, Any] | None) -> list[str]:
    if found is None:
        return ["Not compared: it needs a cross-section, mode auto and no leak."]
    low, high = min(found["slopes"].values()), max(found["slopes"].values())
    against = sum(slope < 0 for slope in found["slopes"].values())
    slopes = (
        f"Mean slope {found['mean']:.3f}, spread of the true slopes {found['tau']:.3f}; "
        f"from {low:.3f} to {high:.3f}, {against} below 0."
    )
    if found["tau"] == 0:
        slopes = f"No difference between symbols was found: {found['reason']}."
    return [
        "The pooled score times a slope of each symbol, shrunk to the mean of all;",
        "compared in the leaderboard as a row of its own. It decides nothing here.",
        "",
        f"Out of fold: {_signed(found['score'])} (t {_number(found['t'], 1)}), "
        f"{_signed(found['delta'])} against the pooled score "
        f"(t {_number(found['delta_t'], 1)}).",
        slopes,
    ]


def _score(evidence: Mapping[str, Any]) -> str:
    text = _signed(evidence["score"])
    return f"{text} [{_signed(evidence['ci_low'])}, {_signed(evidence['ci_high'])}]"


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{value:+.3f}"


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
