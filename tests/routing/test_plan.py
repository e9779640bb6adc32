"""Training plan: jobs, schema, views, filters and empty plans."""

import json
from typing import Any

import pytest
from routing_examples import (
    FEATURES,
    ONE,
    POOLED_STATES,
    TRAINING,
    candidates,
    pooled,
    routing_config,
    symbol,
)

from ranking_pipeline.errors import UserError
from ranking_pipeline.routing.plan import (
    build_training_plan,
    plan_views,
    select_jobs,
)
from ranking_pipeline.routing.plan_schema import (
    read_training_plan,
    training_plan_schema,
)
from ranking_pipeline.routing.render import plan_markdown, routing_markdown
from ranking_pipeline.routing.router import make_routing_plan


def planned(rows: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    config = routing_config(**changes)
    frame = candidates(rows, config)
    selection = ONE if rows else {"status": "nothing_predictable", "targets": []}
    routes = make_routing_plan(frame, selection, config)
    return build_training_plan(routes, frame, FEATURES, config, TRAINING)


MIXED = [
    pooled(),
    symbol("A|1"),
    symbol("B", pooled_score=0.1, pooled_t=3.0),
    symbol("C", score=-0.1),
]


def test_jobs_of_a_mixed_plan() -> None:
    plan = planned(MIXED)
    jobs = {job["job_id"]: job for job in plan["jobs"]}
    assert list(jobs) == ["cs_fwd_ret_1d", "sym_fwd_ret_1d_B", "sym_fwd_ret_1d_A|1"]
    first = jobs["cs_fwd_ret_1d"]
    assert (first["route"], first["priority"], first["n_rows"]) == ("BOTH", 3, 9000)
    assert first["families"] == ["lightgbm", "ridge"]
    assert first["features"] == ["a", "b"]
    assert first["symbol"] is None
    own = jobs["sym_fwd_ret_1d_A|1"]
    assert (own["route"], own["families"]) == ("SYMBOL_SPECIFIC", ["ridge"])
    assert plan["summary"]["by_type"] == {"cross_sectional": 1, "symbol_specific": 2}
    assert plan["metadata"]["targets_requested"] == ["fwd_ret_1d"]


def test_plan_is_plain_json_and_valid() -> None:
    plan = json.loads(json.dumps(planned(MIXED)))
    assert read_training_plan(plan).model_dump(mode="json") == plan
    assert set(training_plan_schema()["required"]) == {
        "schema_version", "status", "metadata", "jobs", "summary",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda p: p.pop("jobs"), "jobs"),
        (lambda p: p.update(extra=1), "extra"),
        (lambda p: p["jobs"][0].update(priority=7), "priority"),
        (lambda p: p["jobs"][0].update(symbol="X"), "symbol_specific"),
        (lambda p: p["jobs"].append(p["jobs"][0]), "more than once"),
        (lambda p: p["jobs"].pop(), "summary"),
        (lambda p: p.update(schema_version=2), "schema_version"),
    ],
)
def test_damaged_plan_is_refused(damage, words: str) -> None:  # type: ignore[no-untyped-def]
    plan = planned(MIXED)
    damage(plan)
    with pytest.raises(UserError, match=words):
        read_training_plan(plan)


def test_views_hold_every_job_once() -> None:
    plan = planned(MIXED)
    for name, view in plan_views(plan).items():
        ids = sorted(job["job_id"] for jobs in view.values() for job in jobs)
        assert ids == sorted(job["job_id"] for job in plan["jobs"]), name
    assert set(plan_views(plan)["by_symbol"]) == {"(pooled)", "A|1", "B"}


def test_experimental_pooled_model_is_left_for_the_rest() -> None:
    plan = planned([pooled(**POOLED_STATES["EXPERIMENTAL"]), symbol("A")])
    routes = {job["job_id"]: job["route"] for job in plan["jobs"]}
    assert routes == {
        "cs_fwd_ret_1d": "EXPERIMENTAL",
        "sym_fwd_ret_1d_A": "SYMBOL_SPECIFIC",
    }
    disallowed = planned([pooled(**POOLED_STATES["DISALLOWED"]), symbol("A")])
    assert [job["job_id"] for job in disallowed["jobs"]] == ["sym_fwd_ret_1d_A"]


def test_uniform_plans() -> None:
    forced = planned(MIXED, mode="cross_sectional")
    assert [job["job_id"] for job in forced["jobs"]] == ["cs_fwd_ret_1d"]
    forced = planned(MIXED, mode="symbol_specific")
    assert [job["symbol"] for job in forced["jobs"]] == ["A|1", "B", "C"]


def test_empty_plans() -> None:
    plan = planned([])
    assert (plan["status"], plan["jobs"]) == ("nothing_predictable", [])
    read_training_plan(plan)
    blocked = planned([pooled(leakage_status="BLOCKED")])
    assert (blocked["status"], blocked["jobs"]) == ("nothing_routable", [])
    for rows in ([], [pooled(leakage_status="BLOCKED")]):
        with pytest.raises(UserError, match="require_jobs"):
            planned(rows, require_jobs=True)


def test_selecting_jobs() -> None:
    plan = planned(MIXED)
    assert len(select_jobs(plan)) == 3
    assert [j["symbol"] for j in select_jobs(plan, symbols=["B"])] == ["B"]
    boosted = select_jobs(plan, families=["LightGBM"])
    assert [(j["job_id"], j["families"]) for j in boosted] == [
        ("cs_fwd_ret_1d", ["lightgbm"])
    ]
    with pytest.raises(UserError, match="none of the 3 jobs"):
        select_jobs(plan, targets=["fwd_ret_9d"])
    assert select_jobs(planned([]), targets=["fwd_ret_9d"]) == []


def test_markdown() -> None:
    plan = planned(MIXED)
    text = plan_markdown(plan)
    assert text.count("\n| ") == 2 * 2 + 2 + 3  # two heads of two lines, types, jobs
    assert "A\\|1" in text
    config = routing_config()
    routes = make_routing_plan(candidates(MIXED, config), ONE, config)
    shown = routing_markdown(routes)
    assert "2 of 3 symbols" in shown
    assert "nothing to train" in plan_markdown(planned([]))
    nothing = make_routing_plan(
        candidates([], config), {"status": "nothing_predictable", "targets": []}, config
    )
    assert "nothing is routed" in routing_markdown(nothing)
