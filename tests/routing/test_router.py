"""States and routes: the whole truth table, the cap, leaks and few rows first."""

import itertools
from typing import Any

import numpy as np
import pytest
from routing_examples import (
    ONE,
    POOLED_STATES,
    SYMBOL_STATES,
    candidates,
    pooled,
    routing_config,
    slopes,
    symbol,
)

from ranking_pipeline.routing.router import combine_states, make_routing_plan
from ranking_pipeline.routing.states import RULES, judge

TABLE = {
    ("OK", "OK"): "BOTH",
    ("OK", "EXPERIMENTAL"): "CROSS_SECTIONAL",
    ("OK", "DISALLOWED"): "CROSS_SECTIONAL",
    ("EXPERIMENTAL", "OK"): "SYMBOL_SPECIFIC",
    ("EXPERIMENTAL", "EXPERIMENTAL"): "EXPERIMENTAL",
    ("EXPERIMENTAL", "DISALLOWED"): "EXPERIMENTAL",
    ("DISALLOWED", "OK"): "SYMBOL_SPECIFIC",
    ("DISALLOWED", "EXPERIMENTAL"): "EXPERIMENTAL",
    ("DISALLOWED", "DISALLOWED"): "BLOCKED",
}
PAIRS = list(itertools.product(POOLED_STATES, SYMBOL_STATES))
SERVED = {"pooled_score": 0.1, "pooled_t": 3.0}  # the pooled model is good on it too
FIRST = [
    ({"leakage_status": "BLOCKED"}, "leakage", "leakage"),
    ({"score": 0.6}, "too_good", "too good"),
    ({"n_rows": 10}, "few_rows", "10 train rows"),
    ({"t": np.nan}, "unmeasured", "not measurable"),
    ({"score": np.nan}, "unmeasured", "not measurable"),
]


def route_of(rows: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    config = routing_config(**changes)
    plan = make_routing_plan(candidates(rows, config), ONE, config)
    return dict(plan["targets"]["fwd_ret_1d"])


def expected(first: str, second: str) -> str:
    good = {"STRONG": "OK"}
    return TABLE[good.get(first, first), good.get(second, second)]


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_truth_table(first: str, second: str) -> None:
    assert combine_states(first, second) == expected(first, second)


@pytest.mark.parametrize(("first", "second"), PAIRS)
@pytest.mark.parametrize("served", [False, True])
def test_truth_table_from_evidence(first: str, second: str, served: bool) -> None:
    config = routing_config(experimental_share=1.0)
    here = SERVED if served else {}
    rows = [
        pooled(**POOLED_STATES[first]),
        symbol("A", **{**here, **SYMBOL_STATES[second]}),
    ]
    frame = candidates(rows, config)
    assert list(frame["state"]) == [first, second]
    plan = make_routing_plan(frame, ONE, config)["targets"]["fwd_ret_1d"]
    assert plan["route"] == expected(first, second)
    # where the pooled model harms this symbol and its own is good, it goes its own way
    alone = second in {"STRONG", "OK"} and not served
    wanted = "SYMBOL_SPECIFIC" if alone else expected(first, second)
    assert plan["symbols"]["A"]["route"] == wanted


AUC_POOLED = {"STRONG": {"score": 0.58}, "OK": {"score": 0.53}, "EXPERIMENTAL":
              {"score": 0.53, "t": 1.0}, "DISALLOWED": {"score": 0.52}}  # fmt: skip
AUC_SYMBOL = {"STRONG": {"score": 0.6}, "OK": {"score": 0.55}, "EXPERIMENTAL":
              {"score": 0.55, "q": 0.3}, "DISALLOWED": {"score": 0.5}}  # fmt: skip


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_truth_table_of_classes(first: str, second: str) -> None:
    config = routing_config(experimental_share=1.0)
    unit = {"metric": "auc", "task": "binary"}
    rows = [
        pooled(**unit, **AUC_POOLED[first]),
        symbol("A", **unit, **SERVED, **AUC_SYMBOL[second]),
    ]
    frame = candidates(rows, config)
    assert list(frame["state"]) == [first, second]
    plan = make_routing_plan(frame, ONE, config)["targets"]["fwd_ret_1d"]
    assert plan["route"] == expected(first, second)
    assert plan["symbols"]["A"]["route"] == expected(first, second)


@pytest.mark.parametrize(("change", "rule", "words"), FIRST)
@pytest.mark.parametrize("make", [pooled, lambda **k: symbol("A", **k)])
def test_leaks_and_few_rows_come_first(make, change, rule, words) -> None:  # type: ignore[no-untyped-def]
    verdict = judge(make(**change), routing_config())
    assert (verdict.state, verdict.rule) == ("DISALLOWED", rule)
    assert words in verdict.reason
    assert rule in RULES


@pytest.mark.parametrize(("change", "rule", "words"), FIRST)
@pytest.mark.parametrize("state", POOLED_STATES)
def test_a_refused_side_is_a_disallowed_one(change, rule, words, state) -> None:  # type: ignore[no-untyped-def]
    plan = route_of([pooled(**change), symbol("A", **SERVED, **SYMBOL_STATES[state])],
                    experimental_share=1.0)  # fmt: skip
    assert plan["route"] == expected("DISALLOWED", state)
    plan = route_of([pooled(**POOLED_STATES[state]), symbol("A", **SERVED, **change)])
    assert plan["route"] == expected(state, "DISALLOWED")
    assert plan["symbols"]["A"]["rule"] == rule
    assert words in plan["symbols"]["A"]["reason"]


@pytest.mark.parametrize("stability", ["STABLE", "DRIFTING", "DIVERGED", "UNKNOWN"])
def test_stability_is_no_gate(stability: str) -> None:
    rows = [pooled(stability=stability), symbol("A", stability=stability)]
    plan = route_of(rows)
    assert (plan["route"], plan["pooled"]["stability"]) == ("BOTH", stability)
    assert plan["symbols"]["A"]["state"] == "STRONG"


def test_native_units_of_the_thresholds() -> None:
    config = routing_config()
    for score, state in ((0.01, "DISALLOWED"), (0.011, "OK"), (0.03, "STRONG")):
        assert judge(pooled(score=score), config).state == state
    for score, state in ((0.52, "DISALLOWED"), (0.53, "OK"), (0.58, "STRONG")):
        assert judge(pooled(metric="auc", score=score), config).state == state
    assert judge(pooled(score=0.5), config).state == "DISALLOWED"
    assert judge(pooled(metric="auc", score=0.9), config).state == "DISALLOWED"
    over_time = pooled(metric="time_series_auc", score=0.53)
    assert judge(over_time, config).state == "OK"
    assert judge(pooled(metric="time_series_ic", score=0.53), config).rule == "too_good"


def test_a_symbol_is_proven_expected_or_neither() -> None:
    config = routing_config()
    unsure = {"q": 0.11, "delta_t": 1.5}
    expected_gain = {**unsure, "own_q": 0.1, "expected_gain": 0.01}
    cases = [
        ({"q": 0.1}, "OK", "proven"),
        ({"q": 0.01, "t": 1.0}, "OK", "proven"),
        (expected_gain, "OK", "expected"),
        ({**expected_gain, "own_q": 0.11}, "DISALLOWED", "unsure"),
        ({**expected_gain, "expected_gain": 0.0}, "DISALLOWED", "unsure"),
        ({**expected_gain, "expected_gain": np.nan}, "DISALLOWED", "unsure"),
        (
            {"delta": -0.1, "delta_t": -3.0, "expected_gain": -0.1},
            "DISALLOWED",
            "not_better",
        ),
        ({**expected_gain, "score": 0.0}, "DISALLOWED", "below_minimum"),
        ({**unsure, "misleads_q": 0.1}, "OK", "misled"),
        ({**unsure, "misleads_q": 0.1, "score": 0.0}, "DISALLOWED", "below_minimum"),
        ({**unsure, "misleads_q": 0.11}, "DISALLOWED", "unsure"),
        ({**unsure, "misleads_q": np.nan}, "DISALLOWED", "unsure"),
    ]
    for change, state, rule in cases:
        verdict = judge(symbol("A", **{"score": 0.05, **change}), config)
        assert (verdict.state, verdict.rule) == (state, rule), change


def test_a_misled_symbol_names_the_pooled_score() -> None:
    row = symbol("A", q=0.2, misleads_q=0.01, pooled_score=-0.15, pooled_t=-4.4)
    verdict = judge(row, routing_config())
    assert verdict.rule == "misled"
    assert verdict.reason.endswith("the pooled model has -0.150 there (t -4.4)")
    assert route_of([pooled(), row])["symbols"]["A"]["route"] == "SYMBOL_SPECIFIC"
    # without a pooled model there is nothing that could mislead
    alone = judge({**row, "compared_with": "nothing"}, routing_config())
    assert alone.rule == "unsure"


def test_without_a_pooled_model_the_own_score_decides() -> None:
    config = routing_config()
    alone = {"compared_with": "nothing", "q": 0.01, "expected_gain": 0.2}
    verdict = judge(symbol("A", **alone, own_q=0.1), config)
    assert (verdict.state, verdict.rule) == ("STRONG", "alone")
    trial = judge(symbol("A", **alone, own_q=0.2), config)
    assert (trial.state, trial.rule) == ("EXPERIMENTAL", "unsure")
    assert judge(symbol("A", **alone, own_q=0.2, t=1.9), config).state == "DISALLOWED"


def test_a_lone_symbol_has_no_pooled_model() -> None:
    rows = [
        pooled(n_symbols=1, metric="time_series_ic", view="time_series"),
        symbol("A", compared_with="nothing", own_q=0.01, metric="time_series_ic"),
    ]
    plan = route_of(rows)
    assert plan["pooled"]["rule"] == "one_symbol"
    assert plan["route"] == plan["symbols"]["A"]["route"] == "SYMBOL_SPECIFIC"
    assert "fewer than routing.min_symbols (10)" in plan["view_note"]


def test_experimental_cap_goes_by_score() -> None:
    config = routing_config(experimental_share=0.2)
    scores = [0.11, 0.15, 0.13, 0.12, 0.14]
    rows = [pooled(**POOLED_STATES["DISALLOWED"])]
    rows += [
        symbol(name, score=score, q=0.3)
        for name, score in zip("ABCDE", scores, strict=True)
    ]
    rows += [symbol(name, score=-0.1) for name in "FGHIJ"]
    frame = candidates(rows, config).set_index("symbol")
    lane = frame[frame["state"] == "EXPERIMENTAL"]
    assert list(lane.index) == ["B", "E"]  # a fifth of ten symbols
    assert "only 2 experimental" in frame.loc["A", "reason"]
    assert frame.loc["A", "rule"] == "experimental_cap"
    plan = make_routing_plan(frame.reset_index(), ONE, config)["targets"]["fwd_ret_1d"]
    assert plan["route"] == "EXPERIMENTAL"
    routes = {name: d["route"] for name, d in plan["symbols"].items()}
    assert [name for name, r in routes.items() if r == "EXPERIMENTAL"] == ["B", "E"]


@pytest.mark.parametrize(("share", "room"), [(0.0, 0), (0.19, 0), (0.2, 1), (1.0, 5)])
def test_experimental_cap_does_not_round_up(share: float, room: int) -> None:
    rows = [symbol(name, q=0.3) for name in "ABCDE"]
    frame = candidates(rows, routing_config(experimental_share=share))
    assert (frame["state"] == "EXPERIMENTAL").sum() == room


def test_uniform_plans() -> None:
    rows = [pooled(score=0.0), symbol("A", score=-0.2), symbol("B", n_rows=10)]
    plan = route_of(rows, mode="cross_sectional")
    assert (plan["route"], plan["symbols"]) == ("CROSS_SECTIONAL", {})
    decision = route_of(rows, mode="symbol_specific")
    assert decision["route"] == "SYMBOL_SPECIFIC"
    assert decision["symbols"]["A"]["route"] == "SYMBOL_SPECIFIC"
    assert decision["symbols"]["B"]["route"] == "BLOCKED"
    leaked = [{**row, "leakage_status": "BLOCKED"} for row in rows]
    for mode in ("cross_sectional", "symbol_specific"):
        config = routing_config(mode=mode)
        blocked = make_routing_plan(candidates(leaked, config), ONE, config)
        assert blocked["targets"]["fwd_ret_1d"]["route"] == "BLOCKED"
        assert blocked["status"] == "nothing_routable"


def test_partial_pooling_is_reported_and_decides_nothing() -> None:
    rows = [pooled(), symbol("A", **SERVED)]
    without = route_of(rows)
    found = route_of(rows + slopes(A=-0.3, B=0.8))
    assert without["partial_pooling"] is None
    assert found["partial_pooling"]["slopes"] == {"A": -0.3, "B": 0.8}
    assert found["partial_pooling"]["mean"] == 0.5
    assert found["partial_pooling"]["tau"] == 0.4
    assert found["partial_pooling"]["delta_t"] == 2.5
    assert {**found, "partial_pooling": None} == without
    leaked = [{**row, "leakage_status": "BLOCKED"} for row in rows + slopes(A=0.1)]
    assert route_of(leaked)["partial_pooling"] is None


def test_no_target_keeps_the_status_of_the_selection() -> None:
    config = routing_config()
    nothing = {"status": "nothing_predictable", "targets": [], "reason": "noise"}
    plan = make_routing_plan(candidates([], config), nothing, config)
    assert (plan["status"], plan["reason"]) == ("nothing_predictable", "noise")
    assert plan["targets"] == {}
