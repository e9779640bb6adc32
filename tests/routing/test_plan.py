"""Training plan: jobs, schema, versions, views, estimates and empty plans."""

import json
from typing import Any

import numpy as np
import pytest
from plan_examples import (
    BOOSTED,
    RIDGE,
    TASKS,
    business_days,
    setting,
    training_config,
)
from planted_world import selection_config, signal_world
from routing_examples import (
    FEATURES,
    ONE,
    POOLED_STATES,
    candidates,
    pooled,
    routing_config,
    symbol,
)

from ranking_pipeline.errors import UserError
from ranking_pipeline.routing.plan import build_training_plan
from ranking_pipeline.routing.plan_schema import (
    Job,
    read_training_plan,
    training_plan_schema,
)
from ranking_pipeline.routing.plan_views import plan_views
from ranking_pipeline.routing.render_plan import plan_markdown
from ranking_pipeline.routing.router import make_routing_plan
from ranking_pipeline.routing.setting import Setting
from ranking_pipeline.routing.unplanned import (
    plan_everything,
    plan_without_evidence,
    screened_features,
)
from ranking_pipeline.selection.training_data import TrainingData
from ranking_pipeline.splits import make_splits

UNLIKE = {
    "lightgbm": BOOSTED,
    "ridge": RIDGE,
    "logistic": RIDGE,
    "multi_task": {"hidden": 64, "layers": 1, "epochs": 20},
}


def planned(
    rows: list[dict[str, Any]], where: Setting | None = None, **changes: Any
) -> dict[str, Any]:
    config = routing_config(**changes)
    frame = candidates(rows, config)
    selection = ONE if rows else {"status": "nothing_predictable", "targets": []}
    routes = make_routing_plan(frame, selection, config)
    return build_training_plan(routes, frame, FEATURES, config, where or setting())


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
    assert {job["view"] for job in plan["jobs"]} == {"cross_section"}


def test_one_window_is_the_split_itself() -> None:
    axis = business_days(embargo=3)
    plan = planned(MIXED, setting(axis))
    splits = axis.splits
    for job in plan["jobs"]:
        assert job["window"] == 0
        assert job["train_start"] == splits.train.first
        assert job["train_end"] == axis.stamp(splits.train.last_bar - 3)
        assert job["predict_start"] == splits.validation.first
        assert job["predict_end"] == splits.test.last
    assert plan["summary"]["by_window"] == {"0": 3}


def test_a_walk_forward_multiplies_the_rows_of_the_plan() -> None:
    where = setting(refit_months=2, train_months=6)
    plan = planned(MIXED, where)
    jobs = [job for job in plan["jobs"] if job["symbol"] is None]
    assert [job["job_id"] for job in jobs] == [
        f"cs_fwd_ret_1d_w00{number}" for number in range(1, len(jobs) + 1)
    ]
    assert plan["summary"]["by_window"] == {str(job["window"]): 3 for job in jobs}
    train = where.axis.splits.train
    per_bar = 9000 / (train.last_bar - train.first_bar + 1)
    # six months of business days, give or take
    assert all(115 * per_bar < job["n_rows"] < 150 * per_bar for job in jobs)
    assert jobs[0]["predict_start"] == where.axis.splits.validation.first
    assert all(job["train_end"] < job["predict_start"] for job in jobs)
    assert read_training_plan(plan).model_dump(mode="json") == plan


def test_a_view_over_time_is_in_the_plan() -> None:
    config = routing_config()
    frame = candidates([pooled()], config)
    routes = make_routing_plan(frame, ONE, config)
    routes["targets"]["fwd_ret_1d"]["view"] = "time_series"
    plan = build_training_plan(routes, frame, FEATURES, config, setting())
    assert plan["summary"]["by_view"] == {"time_series": 1}


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
        (lambda p: p.update(schema_version=3), "schema_version"),
        (lambda p: p["jobs"][0].update(train_end=None), "all four times"),
        (lambda p: p["jobs"][0].update(train_end="2021-01-01"), "no time zone"),
        (lambda p: p["jobs"][0].update(train_end="soon"), "no ISO 8601"),
        (
            lambda p: p["jobs"][0].update(train_end=p["jobs"][0]["predict_start"]),
            "trained before it",
        ),
        (lambda p: p["summary"]["estimate"].update(rows=1), "summary"),
        (lambda p: p["jobs"][0]["estimate"].update(seconds=-1), "estimate.seconds"),
    ],
)
def test_damaged_plan_is_refused(damage, words: str) -> None:  # type: ignore[no-untyped-def]
    plan = planned(MIXED)
    damage(plan)
    with pytest.raises(UserError, match=words):
        read_training_plan(plan)


def version_1(plan: dict[str, Any]) -> dict[str, Any]:
    """The same plan as the first version wrote it."""
    new = {"view", "window", "estimate", "train_start", "train_end"}
    new |= {"predict_start", "predict_end"}
    jobs = [{k: v for k, v in job.items() if k not in new} for job in plan["jobs"]]
    known = ("total_jobs", "by_type", "by_route", "by_priority", "by_target")
    summary = {name: plan["summary"][name] for name in known}
    return {**plan, "schema_version": 1, "jobs": jobs, "summary": summary}


def test_a_plan_of_version_1_is_read() -> None:
    plan = planned(MIXED)
    read = read_training_plan(version_1(plan))
    assert read.schema_version == 2
    assert [job.job_id for job in read.jobs] == [j["job_id"] for j in plan["jobs"]]
    assert {(job.window, job.train_end, job.estimate) for job in read.jobs} == {
        (0, None, None)
    }
    assert read.summary.total_jobs == 3
    assert "3 jobs with 4 models" in plan_markdown(read.model_dump(mode="json"))
    damaged = version_1(plan)
    damaged["jobs"].pop()
    with pytest.raises(UserError, match="counts 3 jobs, there are 2"):
        read_training_plan(damaged)
    damaged = version_1(plan)
    damaged["jobs"][0]["priority"] = 9
    with pytest.raises(UserError, match="priority"):
        read_training_plan(damaged)


def test_views_hold_every_job_once() -> None:
    plan = planned(MIXED)
    for name, view in plan_views(plan).items():
        ids = sorted(job["job_id"] for jobs in view.values() for job in jobs)
        assert ids == sorted(job["job_id"] for job in plan["jobs"]), name
    assert set(plan_views(plan)["by_symbol"]) == {"(pooled)", "A|1", "B"}
    assert set(plan_views(plan)["by_route"]) == {"BOTH", "SYMBOL_SPECIFIC"}


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


def test_families_that_cannot_learn_a_target_are_told_in_the_plan() -> None:
    features = {"fwd_ret_5d": ["a", "b"], "label_h5": ["a"]}
    where = setting(families=("ridge", "logistic"), parameters=UNLIKE)
    plan = plan_everything(features, {}, where)
    families = {job["target"]: job["families"] for job in plan["jobs"]}
    assert families == {"fwd_ret_5d": ["ridge"], "label_h5": ["ridge", "logistic"]}
    assert plan["metadata"]["unable"] == {"logistic": ["fwd_ret_5d"]}
    assert "- logistic is left out for fwd_ret_5d: it learns" in plan_markdown(plan)
    assert read_training_plan(plan).model_dump(mode="json") == plan
    alone = setting(families=("logistic",), parameters=UNLIKE)
    plan = plan_everything(features, {}, alone)
    assert [job["target"] for job in plan["jobs"]] == ["label_h5"]
    with pytest.raises(UserError, match="can learn fwd_ret_5d: logistic is left out"):
        plan_everything({"fwd_ret_5d": ["a"]}, {}, alone)


def test_estimates_count_the_folds_of_a_cascade_and_of_ensembles() -> None:
    """Three targets, two families, three folds."""
    features = {name: [f"f{k}" for k in range(20)] for name in TASKS}

    def estimates(**changes: Any) -> tuple[dict[str, Any], int, int]:
        plan = plan_everything(features, {}, setting(**changes))
        total = plan["summary"]["estimate"]
        jobs = {job["target"]: job["estimate"] for job in plan["jobs"]}
        return jobs, total["models"], total["fold_models"]

    alone, models, folds = estimates()
    assert (models, folds) == (2 * len(TASKS), 0)
    stacked, models, folds = estimates(
        ensembles={"methods": ["stacking"], "folds": 3, "families": ()}
    )
    assert (models, folds) == (2 * len(TASKS), 2 * len(TASKS) * 3)
    one, more = (made["fwd_ret_1d"]["seconds"] for made in (alone, stacked))
    assert 2 * one < more < 4.5 * one
    chained, _, folds = estimates(strategy="cascade")
    # the last of a chain is no factor of another
    assert folds == 2 * (len(TASKS) - 1) * 3
    assert sum(made["fold_models"] == 0 for made in chained.values()) == 1
    returns = [name for name in TASKS if TASKS[name] == "regression"]
    shared, models, folds = estimates(strategy="multi_task", parameters=UNLIKE)
    assert (models, folds) == (1 + 2 * (len(TASKS) - len(returns)), 0)
    fitted = [list(shared[name]["seconds_by_family"]) for name in returns]
    assert sorted(fitted) == [[]] * (len(returns) - 1) + [["multi_task"]]
    text = plan_markdown(plan_everything(features, {}, setting(strategy="cascade")))
    assert "models of folds besides" in text


def test_empty_plans() -> None:
    plan = planned([])
    assert (plan["status"], plan["jobs"]) == ("nothing_predictable", [])
    read_training_plan(plan)
    blocked = planned([pooled(leakage_status="BLOCKED")])
    assert (blocked["status"], blocked["jobs"]) == ("nothing_routable", [])
    for rows in ([], [pooled(leakage_status="BLOCKED")]):
        with pytest.raises(UserError, match="require_jobs"):
            planned(rows, require_jobs=True)


def test_a_plan_without_evidence_says_so() -> None:
    features = {"fwd_ret_1d": ["a", "b"], "label_h5": ["a"]}
    plan = plan_everything(features, {"label_h5": "time_series"}, setting())
    assert (plan["status"], plan["summary"]["total_jobs"]) == ("unplanned", 2)
    jobs = {job["target"]: job for job in plan["jobs"]}
    assert jobs["label_h5"]["view"] == "time_series"
    assert jobs["fwd_ret_1d"]["features"] == ["a", "b"]
    assert jobs["fwd_ret_1d"]["n_rows"] == round(12_000 * 364 / 520)
    assert "Nothing here was chosen on evidence" in plan_markdown(plan)
    assert read_training_plan(plan).model_dump(mode="json") == plan
    with pytest.raises(UserError, match="no target"):
        plan_everything({}, {}, setting())


def test_without_a_plan_leaks_still_stay_out() -> None:
    world = signal_world(0.1)
    labels = world.labels["fwd_ret_1d"].to_numpy()
    bars, symbols = world.panel.rows()
    copy = np.zeros((world.panel.n_bars, world.panel.n_symbols))
    copy[bars, symbols] = np.nan_to_num(labels)
    data = world.with_feature("innocent", copy).data()
    where = Setting.of(
        data.panel, business_splits(data), data.targets, training_config()
    )
    plan = plan_without_evidence(data, selection_config(), where)
    (job,) = plan["jobs"]
    assert "innocent" not in job["features"]
    assert {"signal", "vol_20"} <= set(job["features"])
    assert job["view"] == "cross_section"
    manual = selection_config(auto=False, manual_features=("signal", "innocent"))
    assert screened_features(data, ["fwd_ret_1d"], manual) == {"fwd_ret_1d": ["signal"]}
    with pytest.raises(UserError, match="no feature passes"):
        screened_features(
            data,
            ["fwd_ret_1d"],
            selection_config(auto=False, manual_features=("innocent",)),
        )


def business_splits(data: TrainingData) -> dict[str, Any]:
    """Splits of the train span alone, which is all that the data hold."""
    return make_splits(data.panel.timestamps, 0.7, 0.15, 0).to_dict()


def test_markdown_tells_what_why_how_long_and_how_much_memory() -> None:
    plan = planned(MIXED)
    text = plan_markdown(plan)
    assert "3 jobs with 4 models" in text
    for on in plan["summary"]["estimate"]["on_workers"]:
        assert f"| {on['workers']} | " in text
        assert f" | {on['peak_megabytes']:,} |" in text
    assert "factor of 3" in text
    assert "A\\|1" in text
    assert MIXED[0]["target"] in text
    reasons = {job["reason"].replace("|", "\\|") for job in plan["jobs"]}
    assert all(reason in text for reason in reasons)
    assert "## When" in text
    assert "nothing to train" in plan_markdown(planned([]))


def test_markdown_merges_the_windows_of_a_model() -> None:
    plan = planned(MIXED, setting(refit_months=1))
    text = plan_markdown(plan)
    n_windows = len(plan["summary"]["by_window"])
    assert n_windows > 5
    when, models = text.split("## Models over all symbols")
    assert when.count("\n| ") >= n_windows
    pooled_jobs, own = models.split("## Models of one symbol")
    assert pooled_jobs.count("\n| ") == 3
    assert own.count("\n| ") == 4
    seconds = sum(
        job["estimate"]["seconds"] for job in plan["jobs"] if job["symbol"] is None
    )
    shown = f"{seconds:.0f} s" if seconds < 60 else f"{seconds / 60:.0f} min"
    assert f"| {shown} |" in pooled_jobs


def test_a_misspelt_family_or_loss_is_refused_with_the_parameters() -> None:
    with pytest.raises(ValueError, match="Did you mean 'ridge'"):
        training_config(families=("ridgge",))
    block = {"regression_loss": "pairwize"}
    with pytest.raises(
        ValueError, match=r"mlp.regression_loss: 'pairwize'.*'pairwise'"
    ):
        training_config(parameters={"mlp": block})
    job = planned(MIXED)["jobs"][0]
    with pytest.raises(ValueError, match="all four times"):
        Job.model_validate(
            {
                **job,
                "window": 2,
                **dict.fromkeys(
                    ("train_start", "train_end", "predict_start", "predict_end")
                ),
            }
        )
