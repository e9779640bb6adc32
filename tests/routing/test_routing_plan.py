"""Routing plan: its schema, its sentences, and the page that a researcher reads."""

import json
from typing import Any

import pytest
import yaml
from routing_examples import (
    ONE,
    POOLED_STATES,
    candidates,
    pooled,
    routing_config,
    slopes,
    symbol,
)

from ranking_pipeline.errors import UserError
from ranking_pipeline.routing.render import routing_markdown
from ranking_pipeline.routing.router import make_routing_plan
from ranking_pipeline.routing.routing_plan import (
    read_routing_plan,
    routing_plan_schema,
)

MIXED = [
    pooled(),
    symbol("A|1"),
    symbol("B", pooled_score=0.1, pooled_t=3.0),
    symbol("C", score=-0.1),
    symbol("D", q=0.15, delta_t=1.5, expected_gain=float("nan")),
    symbol("E", n_rows=20, score=float("nan"), t=float("nan")),
    *slopes(**{"A|1": -0.2, "B": 0.6}),
]


def planned(rows: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    config = routing_config(**changes)
    selection = ONE
    if not rows:
        selection = {"status": "nothing_predictable", "targets": [], "reason": "noise"}
    return make_routing_plan(candidates(rows, config), selection, config)


def target_of(rows: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    return dict(planned(rows, **changes)["targets"]["fwd_ret_1d"])


def test_plan_is_strict_json_and_yaml() -> None:
    plan = planned(MIXED)
    text = json.dumps(plan, allow_nan=False)
    assert read_routing_plan(json.loads(text)).model_dump(mode="json") == plan
    assert yaml.safe_load(yaml.safe_dump(plan)) == plan
    empty = plan["targets"]["fwd_ret_1d"]["symbols"]["E"]
    assert (empty["score"], empty["route"]) == (None, "CROSS_SECTIONAL")


def test_schema_names_what_a_plan_needs() -> None:
    schema = routing_plan_schema()
    assert set(schema["required"]) == {
        "schema_version", "status", "reason", "mode", "experimental_share", "targets",
    }  # fmt: skip
    needed = schema["$defs"]["TargetRoute"]["required"]
    assert {"route", "decision", "would_change", "view", "pooled"} <= set(needed)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda p: p.pop("mode"), "mode"),
        (lambda p: p.update(extra=1), "extra"),
        (lambda p: p.update(schema_version=2), "schema_version"),
        (lambda p: p["targets"]["fwd_ret_1d"].update(route="NO"), "fwd_ret_1d.route"),
        (lambda p: p["targets"]["fwd_ret_1d"]["pooled"].pop("t"), "pooled.t"),
    ],
)
def test_damaged_plan_is_refused(damage, words: str) -> None:  # type: ignore[no-untyped-def]
    plan = planned(MIXED)
    damage(plan)
    with pytest.raises(UserError, match=words):
        read_routing_plan(plan)


def test_evidence_of_the_plan_is_that_of_the_table() -> None:
    target = target_of(MIXED)
    found = target["pooled"]
    assert (found["score"], found["t"], found["n_rows"]) == (0.05, 5.0, 9000)
    assert (found["ci_low"], found["ci_high"]) == (0.03, 0.07)
    assert found["limits"] == {
        "min_score": 0.01, "strong_score": 0.03, "suspicious_score": 0.5,
        "min_rows": 1000, "min_t": 2.0, "false_discovery_rate": 0.1,
    }  # fmt: skip
    assert target["symbol_limits"]["min_rows"] == 200
    assert target["symbols"]["D"]["q"] == 0.15


def test_sentences_of_each_pooled_rule() -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({}, "lower by more than 0.040"),
        (POOLED_STATES["EXPERIMENTAL"], "about 1600 bars instead of 400"),
        (POOLED_STATES["DISALLOWED"], "a score above 0.01"),
        ({"n_rows": 10}, "1000 train rows (it has 10)"),
        ({"leakage_status": "BLOCKED"}, "leakage_report"),
        ({"score": 0.6}, "a score below 0.5"),
        ({"t": float("nan")}, "eight blocks"),
        ({"n_symbols": 1}, "a second symbol"),
    ]
    for change, words in cases:
        target = target_of([pooled(**change)])
        assert words in target["would_change"][0], change


def test_decision_says_what_becomes_of_the_rest() -> None:
    alone = [symbol("A", compared_with="nothing", own_q=0.01)]
    target = target_of([pooled(**POOLED_STATES["DISALLOWED"]), *alone])
    assert "take the median of their bar" in target["decision"]
    target = target_of([pooled(**POOLED_STATES["EXPERIMENTAL"]), symbol("A")])
    assert "the rest take the pooled model, on trial" in target["decision"]
    hopeful = [pooled(), symbol("A", q=0.3, expected_gain=-0.1)]
    target = target_of(hopeful, experimental_share=1.0)
    assert "1 more would be hopeful" in target["decision"]
    assert (
        "whatever the evidence" in target_of(MIXED, mode="cross_sectional")["decision"]
    )


def test_why_symbols_were_not_compared() -> None:
    assert "mode is cross_sectional" in target_of(
        [pooled()], mode="cross_sectional"
    )["symbols_note"]  # fmt: skip
    note = target_of([pooled(n_symbols=537)])["symbols_note"]
    assert "has 537" in note
    assert "max_symbols_for_symbol_routes is 100" in note


def test_page_of_a_mixed_plan() -> None:
    page = routing_markdown(planned(MIXED))
    for words in (
        "## fwd_ret_1d: BOTH",
        "+0.050 [+0.030, +0.070]",
        "at least 1,000",
        "State: **STRONG**: its score and its t are above their minimum.",
        "2 of 5 symbols differ",
        "| A\\|1 | SYMBOL_SPECIFIC | its own model | proven | +0.200 | 4.0 |",
        "- 1: too few train rows",
        "- 1: its score is not above the minimum",
        "- 1: better, but chance among so many comparisons is not ruled out",
        "nearest were D (q 0.15)",
        "from -0.200 to 0.600, 1 below 0",
    ):
        assert words in page, words
    assert "nan" not in page.lower()
    assert "None" not in page


def test_page_of_every_route_and_mode() -> None:
    for state, changes in POOLED_STATES.items():
        page = routing_markdown(planned([pooled(**changes), symbol("A", score=-1.0)]))
        assert f"State: **{state}**" in page
        assert "None of the 1 symbols differs" in page
    for mode in ("cross_sectional", "symbol_specific"):
        page = routing_markdown(planned(MIXED, mode=mode))
        assert f"mode: {mode}" in page
        assert "routing.mode: auto, which decides by the evidence." in page


def test_page_of_nothing_predictable() -> None:
    page = routing_markdown(planned([]))
    assert "Status: **nothing_predictable**" in page
    assert "nothing is routed" in page
    assert "The reason of the selection: noise." in page
    assert "target_ranking.auto = false" in page
