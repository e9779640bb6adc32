"""States and routes: the whole truth table, the cap, leaks and few rows first."""

import itertools

import numpy as np
import pytest
from routing_examples import (
    ONE,
    POOLED_STATES,
    SYMBOL_STATES,
    candidates,
    pooled,
    routing_config,
    symbol,
)

from ranking_pipeline.routing.router import combine_states, make_routing_plan
from ranking_pipeline.routing.states import judge

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


def expected(first: str, second: str) -> str:
    good = {"STRONG": "OK"}
    return TABLE[good.get(first, first), good.get(second, second)]


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_truth_table(first: str, second: str) -> None:
    assert combine_states(first, second) == expected(first, second)


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_truth_table_from_evidence(first: str, second: str) -> None:
    config = routing_config(experimental_share=1.0)
    rows = [pooled(**POOLED_STATES[first]), symbol("A", **SYMBOL_STATES[second])]
    frame = candidates(rows, config)
    assert list(frame["state"]) == [first, second]
    plan = make_routing_plan(frame, ONE, config)["targets"]["fwd_ret_1d"]
    assert plan["route"] == expected(first, second)
    # the pooled model harms this symbol: where its own is good, it goes its own way
    good = second in {"STRONG", "OK"}
    wanted = "SYMBOL_SPECIFIC" if good else expected(first, second)
    assert plan["symbols"]["A"]["route"] == wanted


def test_symbol_takes_the_average_where_both_are_good_on_it() -> None:
    config = routing_config()
    rows = [pooled(), symbol("A", pooled_score=0.1, pooled_t=3.0)]
    plan = make_routing_plan(candidates(rows, config), ONE, config)
    assert plan["targets"]["fwd_ret_1d"]["symbols"]["A"]["route"] == "BOTH"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"leakage_status": "BLOCKED"}, "leakage"),
        ({"score": 0.6}, "too good"),
        ({"n_rows": 10}, "10 train rows"),
        ({"t": np.nan}, "not measurable"),
        ({"score": np.nan}, "not measurable"),
    ],
)
@pytest.mark.parametrize("make", [pooled, lambda **k: symbol("A", **k)])
def test_leaks_and_few_rows_come_first(make, change, words) -> None:  # type: ignore[no-untyped-def]
    state, reason = judge(make(**change), routing_config())
    assert state == "DISALLOWED"
    assert words in reason


def test_classes_have_thresholds_of_their_own() -> None:
    config = routing_config()
    for score, state in ((0.51, "DISALLOWED"), (0.53, "OK"), (0.6, "STRONG")):
        assert judge(pooled(metric="auc", score=score), config)[0] == state
    assert judge(pooled(metric="auc", score=0.91), config)[0] == "DISALLOWED"


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
    plan = make_routing_plan(frame.reset_index(), ONE, config)["targets"]["fwd_ret_1d"]
    assert plan["route"] == "EXPERIMENTAL"
    routes = {name: d["route"] for name, d in plan["symbols"].items()}
    assert [name for name, r in routes.items() if r == "EXPERIMENTAL"] == ["B", "E"]


def test_symbol_needs_the_paired_test_and_a_gain() -> None:
    config = routing_config()
    assert judge(symbol("A", q=0.11, delta_t=1.5), config)[0] == "DISALLOWED"
    assert judge(symbol("A", q=0.01, t=1.0), config)[0] == "OK"
    assert judge(symbol("A", delta=-0.1, delta_t=-3.0), config)[0] == "DISALLOWED"


def test_uniform_plans() -> None:
    rows = [pooled(score=0.0), symbol("A", score=-0.2), symbol("B", n_rows=10)]
    config = routing_config(mode="cross_sectional")
    plan = make_routing_plan(candidates(rows, config), ONE, config)
    assert plan["targets"]["fwd_ret_1d"]["route"] == "CROSS_SECTIONAL"
    config = routing_config(mode="symbol_specific")
    plan = make_routing_plan(candidates(rows, config), ONE, config)
    decision = plan["targets"]["fwd_ret_1d"]
    assert decision["route"] == "SYMBOL_SPECIFIC"
    assert decision["symbols"]["A"]["route"] == "SYMBOL_SPECIFIC"
    assert decision["symbols"]["B"]["route"] == "BLOCKED"
    leaked = [{**row, "leakage_status": "BLOCKED"} for row in rows]
    for mode in ("cross_sectional", "symbol_specific"):
        config = routing_config(mode=mode)
        plan = make_routing_plan(candidates(leaked, config), ONE, config)
        assert plan["targets"]["fwd_ret_1d"]["route"] == "BLOCKED"
        assert plan["status"] == "nothing_routable"


def test_no_target_keeps_the_status_of_the_selection() -> None:
    config = routing_config()
    nothing = {"status": "nothing_predictable", "targets": [], "reason": "noise"}
    plan = make_routing_plan(candidates([], config), nothing, config)
    assert plan == {"status": "nothing_predictable", "mode": "auto", "targets": {}}
