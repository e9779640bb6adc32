"""Expanding a plan and collecting its outcomes."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from ranking_pipeline.errors import UserError
from ranking_pipeline.jobs.config import JobsConfig
from ranking_pipeline.jobs.outcome import Ledger, Outcome
from ranking_pipeline.jobs.run import run_jobs
from ranking_pipeline.models.loss_check import (
    OF_LEVEL,
    ONLY_RANK,
    loss_fault,
    only_ranks,
)
from ranking_pipeline.training.calibration import shrunk_slope
from ranking_pipeline.training.collect import (
    MODEL_COLUMNS,
    OUTCOME_COLUMNS,
    PREDICTION_COLUMNS,
    collect,
    join_predictions,
)
from ranking_pipeline.training.config import (
    EnsemblesConfig,
    ModelTrainingConfig,
    WalkForwardConfig,
)
from ranking_pipeline.training.fit import TrainingJob, run_training_job, train
from ranking_pipeline.training.plan import expand_plan
from ranking_pipeline.training.routed import collect_routed

MANIFEST = pd.DataFrame(
    {
        "target": ["fwd_ret_2d", "up"],
        "task": ["regression", "binary"],
        "entry_lag_bars": [1, 2],
    }
)


Row = dict[str, Any]


def _row(job_id: str, target: str, symbol: str | None, *families: str) -> Row:
    kind = "cross_sectional" if symbol is None else "symbol_specific"
    return {
        "job_id": job_id,
        "target": target,
        "symbol": symbol,
        "route": kind.upper(),
        "training_type": kind,
        "families": list(families),
        "features": ["alpha", "beta"],
        "priority": 2,
        "n_rows": 100,
        "reason": "",
    }


PLAN = {
    "jobs": [
        _row("cs_fwd_ret_2d", "fwd_ret_2d", None, "LightGBM", "mlp", "ridge"),
        _row("sym_fwd_ret_2d_S01", "fwd_ret_2d", "S01", "ridge"),
        _row("cs_up", "up", None, "ridge"),
    ]
}


@pytest.fixture
def config(parameters: Any) -> ModelTrainingConfig:
    return ModelTrainingConfig(
        model_types="all",
        targets=(),
        symbols=(),
        strategy="single_task",
        ensembles=EnsemblesConfig(methods=(), folds=3, families=()),
        walk_forward=WalkForwardConfig(
            refit_months=None,
            train_months=None,
            validation_share=0.2,
            min_train_rows=50,
        ),
        families=("lightgbm", "ridge"),
        symbol_families=("Ridge",),
        learning_target="cs_gauss",
        feature_scale="raw",
        sample_weights="none",
        max_train_rows=10_000,
        seeds=(1,),
        on_error="record",
        parameters=parameters,
    )


@pytest.fixture
def expand(job: Callable[..., TrainingJob]) -> Callable[..., list[TrainingJob]]:
    stored = job()

    def call(config: ModelTrainingConfig, plan: dict[str, Any] = PLAN) -> Any:
        return expand_plan(
            plan,
            config,
            target_manifest=MANIFEST,
            splits=stored.splits,
            panel=stored.panel,
            features=stored.features_table,
            labels=stored.labels_table,
            store_root=stored.store_root,
            threads=1,
        )

    return call


def test_the_plan_and_nothing_else_is_trained(
    expand: Callable[..., list[TrainingJob]], config: ModelTrainingConfig
) -> None:
    jobs = expand(config)
    assert [(j.job_id, j.model_id, j.task, j.route, j.symbol) for j in jobs] == [
        (
            "cs_fwd_ret_2d:lightgbm",
            "lightgbm:fwd_ret_2d",
            "regression",
            "cross_sectional",
            None,
        ),
        (
            "cs_fwd_ret_2d:ridge",
            "ridge:fwd_ret_2d",
            "regression",
            "cross_sectional",
            None,
        ),
        (
            "sym_fwd_ret_2d_S01:ridge",
            "ridge:fwd_ret_2d:S01",
            "regression",
            "symbol_specific",
            "S01",
        ),
        ("cs_up:ridge", "ridge:up", "binary", "cross_sectional", None),
    ]
    assert {job.stage for job in jobs} == {"cpu"}


def test_seeds_multiply_jobs_and_show_in_the_ids(
    expand: Callable[..., list[TrainingJob]], config: ModelTrainingConfig
) -> None:
    jobs = expand(config.model_copy(update={"seeds": (1, 2)}))
    assert len(jobs) == 8
    assert jobs[1].model_id == "lightgbm:fwd_ret_2d:seed2"
    assert jobs[1].seed == 2
    assert len({job.job_id for job in jobs}) == 8


def test_all_faults_of_a_plan_are_told_at_once(
    expand: Callable[..., list[TrainingJob]], config: ModelTrainingConfig
) -> None:
    plan = {
        "jobs": [
            _row("b", "gone", None, "ridge"),
            _row("d", "up", None, "lightgbm"),
            _row("e", "fwd_ret_2d", "S01", "mlp", "ridge"),
        ]
    }
    blocks = {**config.parameters, "lightgbm": {"n_round": 3}}
    blocks["mlp"] = {"regression_loss": "pairwise_logistic"}
    changes = {"parameters": blocks, "symbol_families": ("ridge", "mlp")}
    with pytest.raises(UserError) as caught:
        expand(config.model_copy(update=changes), plan)
    text = str(caught.value)
    assert "job b: target 'gone' is not in the target manifest" in text
    assert "n_round: unknown key" in text
    assert "job e: family mlp cannot learn from one symbol" in text
    with pytest.raises(UserError, match="Did you mean 'ridge'"):
        expand(config, {"jobs": [_row("c", "up", None, "ridgge")]})


def test_a_view_over_time_learns_raw_values(
    expand: Callable[..., list[TrainingJob]], config: ModelTrainingConfig
) -> None:
    rows = [{**row, "view": "time_series"} for row in PLAN["jobs"]]
    jobs = expand(config.model_copy(update={"feature_scale": "rank"}), {"jobs": rows})
    assert {(j.learning_target, j.feature_scale) for j in jobs} == {("raw", "raw")}
    jobs = expand(config.model_copy(update={"feature_scale": "rank"}))
    assert {(j.learning_target, j.feature_scale) for j in jobs} == {
        ("cs_gauss", "rank")
    }


def test_filters_are_logged_with_counts(
    expand: Callable[..., list[TrainingJob]],
    config: ModelTrainingConfig,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def ids(**changes: Any) -> tuple[list[str], list[str]]:
        caplog.clear()
        with caplog.at_level(logging.INFO):
            jobs = expand(config.model_copy(update=changes))
        return [job.job_id for job in jobs], [r.getMessage() for r in caplog.records]

    # mlp is planned, but not enabled: five models, four of them trained
    everything, told = ids()
    assert len(everything) == 4
    assert told == ["plan: 3 jobs with 5 models, 3 jobs with 4 models after families"]
    found, told = ids(targets=("up",))
    assert found == ["cs_up:ridge"]
    assert told[0] == "plan: 3 jobs, 1 after targets ['up']"
    found, told = ids(symbols=("S01",))
    assert found == ["sym_fwd_ret_2d_S01:ridge"]
    assert told == ["plan: 3 jobs, 1 after symbols ['S01']"]
    found, told = ids(model_types="cross_sectional", families=("lightgbm",))
    assert found == ["cs_fwd_ret_2d:lightgbm"]
    assert told == [
        "plan: 3 jobs, 2 after model_types cross_sectional",
        "plan: 2 jobs with 4 models, 1 job with 1 model after families",
    ]


def test_nothing_is_trained_that_the_plan_does_not_hold(
    expand: Callable[..., list[TrainingJob]],
    config: ModelTrainingConfig,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for changes, words in (
        ({"targets": ("up", "gone")}, r"targets: no job .* \['gone'\]; it has fwd"),
        ({"symbols": ("S02",)}, r"symbols: no job .* \['S02'\]; it has S01"),
        ({"families": ("ridge", "xgb")}, r"families: no job .* \['xgboost'\]; it has"),
        ({"symbol_families": ("lgbm",)}, r"symbol_families: no job .*\['lightgbm'\]"),
        ({"model_types": "sequence"}, "none of the 3 jobs of training_plan fits"),
        (
            {"targets": ("up",), "model_types": "symbol_specific"},
            r"none of the 3 jobs .*'targets': \['up'\]",
        ),
    ):
        with pytest.raises(UserError, match=words):
            expand(config.model_copy(update=changes))
    # a kind of job that the plan has none of asks for no family
    pooled = {"jobs": [row for row in PLAN["jobs"] if row["symbol"] is None]}
    strange = config.model_copy(update={"symbol_families": ("xgb",)})
    assert len(expand(strange, pooled)) == 3
    # nothing predictable is a finding
    empty = {"status": "nothing_predictable", "jobs": []}
    asked = config.model_copy(update={"targets": ("up",)})
    assert expand(asked, empty) == []
    assert "plan: no jobs (nothing_predictable)" in caplog.text


def test_a_walk_forward_that_is_not_the_plans_is_refused(
    expand: Callable[..., list[TrainingJob]], config: ModelTrainingConfig
) -> None:
    def asked(**changes: Any) -> ModelTrainingConfig:
        refits = WalkForwardConfig(**{**config.walk_forward.model_dump(), **changes})
        return config.model_copy(update={"walk_forward": refits})

    def made(**changes: Any) -> dict[str, Any]:
        named = asked(**changes).walk_forward.model_dump(mode="json")
        return {**PLAN, "metadata": {"walk_forward": named}}

    refits = {"refit_months": 3, "train_months": 12}
    assert len(expand(asked(), made())) == len(expand(asked(**refits), made(**refits)))
    # without refits on either side there is no window that the rest could be about
    assert len(expand(asked(min_train_rows=7), made())) == 4
    with pytest.raises(UserError) as caught:
        expand(asked(**refits), made(refit_months=6))
    text = str(caught.value)
    assert "walk_forward.refit_months is 3, the plan was made with 6" in text
    assert "walk_forward.train_months is 12, the plan was made with null" in text
    assert "kedro run --pipelines=routing,train" in text
    with pytest.raises(
        UserError, match="refit_months is null, the plan was made with 3"
    ):
        expand(asked(), made(**refits))
    with pytest.raises(
        UserError, match=r"validation_share is 0\.1, the plan was .* 0\.2"
    ):
        expand(asked(**refits, validation_share=0.1), made(**refits))
    # an old plan names nothing; its rows show that it has no windows
    with pytest.raises(
        UserError, match="refit_months is 3, the plan was made with null"
    ):
        expand(asked(refit_months=3))
    windows = {"window": 1, "train_start": "a", "train_end": "b"}
    windows |= {"predict_start": "c", "predict_end": "d"}
    old = {"jobs": [{**row, **windows} for row in PLAN["jobs"]]}
    assert len(expand(asked(refit_months=3), old)) == 4


def test_weights_reach_the_jobs_and_their_keys(
    expand: Callable[..., list[TrainingJob]], config: ModelTrainingConfig
) -> None:
    plain = expand(config)[0]
    assert (plain.sample_weights, plain.entry_lag_bars) == ("none", 0)
    assert not {"sample_weights", "entry_lag_bars"} & set(plain.made_from)
    unique = config.model_copy(update={"sample_weights": "uniqueness"})
    weighed = expand(unique)
    assert [job.entry_lag_bars for job in weighed] == [1, 1, 1, 2]
    assert weighed[0].made_from["sample_weights"] == "uniqueness"
    assert weighed[0].key != plain.key
    assert replace(weighed[0], entry_lag_bars=2).key != weighed[0].key


def test_months_to_look_back_need_refits(config: ModelTrainingConfig) -> None:
    values = config.walk_forward.model_dump() | {"train_months": 6}
    with pytest.raises(ValueError, match=r"train_months 6 .* refit_months is null"):
        WalkForwardConfig.model_validate(values)
    assert WalkForwardConfig.model_validate({**values, "refit_months": 1})


def test_the_plan_is_read_by_one_node_alone() -> None:
    from ranking_pipeline.pipelines.model_training import create_pipeline

    nodes = create_pipeline().nodes
    readers = [node.name for node in nodes if "training_plan" in node.inputs]
    assert readers == ["model_training.list_jobs"]
    users = [node for node in nodes if "training_jobs" in node.inputs]
    assert len(users) == 3
    for node in nodes:  # parameters are typed by annotations that exist at run time
        assert get_type_hints(node.func)


def test_the_losses_named_without_torch_are_those_there_are() -> None:
    from ranking_pipeline.learning.losses import CrossSectionLoss, loss_names, make_loss
    from ranking_pipeline.models.neural import _only_ranks

    named = {*OF_LEVEL, *ONLY_RANK, "mixture", "cross_entropy"}
    assert set(loss_names()) == named
    for name in OF_LEVEL | ONLY_RANK:
        loss: CrossSectionLoss = make_loss(name)
        assert _only_ranks(loss) is (name in ONLY_RANK), name
    assert loss_fault("mse") == loss_fault("own:loss") == loss_fault(None) == ""
    assert "Did you mean 'huber'" in loss_fault("hubr")
    assert only_ranks("pairwise_logistic")
    assert not only_ranks("mse")


def test_tables_of_a_run(
    expand: Callable[..., list[TrainingJob]], config: ModelTrainingConfig
) -> None:
    jobs = expand(config)
    ended = list(run_jobs(jobs, run_training_job, engine="serial"))
    ended[1] = (ended[1][0], Outcome("failed", error="ValueError: no"))
    models, predictions, outcomes = collect(jobs, reversed(ended), on_error="record")
    assert list(models["model_id"]) == [
        "lightgbm:fwd_ret_2d",
        "ridge:fwd_ret_2d:S01",
        "ridge:up",
    ]
    assert tuple(models.columns) == MODEL_COLUMNS
    assert str(models["train_first"].dtype) == "datetime64[ns, UTC]"
    assert tuple(outcomes.columns) == OUTCOME_COLUMNS
    assert list(outcomes["status"]) == ["done", "failed", "done", "done"]
    assert list(outcomes["error"]) == ["", "ValueError: no", "", ""]
    assert tuple(predictions.columns) == PREDICTION_COLUMNS
    key = ["timestamp", "symbol", "target", "model_id"]
    text = predictions.astype(dict.fromkeys(key[1:], "str"))
    pd.testing.assert_frame_equal(
        text, text.sort_values(key, kind="stable").reset_index(drop=True)
    )
    assert predictions["score"].dtype == np.float32
    assert set(predictions["model_id"]) == set(models["model_id"])
    with pytest.raises(UserError, match=r"1 of 4 .*\n  cs_fwd_ret_2d:ridge: Val"):
        collect(jobs, ended, on_error="raise")


def test_all_failing_is_an_error_and_no_jobs_are_empty_tables(
    expand: Callable[..., list[TrainingJob]], config: ModelTrainingConfig
) -> None:
    jobs = expand(config)
    failed = [(job.job_id, Outcome("failed", error="E: x")) for job in jobs]
    with pytest.raises(UserError, match="4 of 4 training jobs failed"):
        collect(jobs, failed, on_error="record")
    models, predictions, outcomes = collect([], [], on_error="record")
    assert len(models) == len(predictions) == len(outcomes) == 0
    assert tuple(predictions.columns) == PREDICTION_COLUMNS
    assert str(predictions["timestamp"].dtype) == "datetime64[ns, UTC]"


def test_without_any_pooled_model_a_run_ends_before_the_test_split_is_opened(
    expand: Callable[..., list[TrainingJob]], config: ModelTrainingConfig
) -> None:
    jobs = expand(config)
    ended = dict(run_jobs(jobs, run_training_job, engine="serial"))
    for job in jobs:
        if job.symbol is None:
            ended[job.job_id] = Outcome("failed", error="E: x")
    with pytest.raises(UserError, match="3 of 4 training jobs failed"):
        collect(jobs, ended.items(), on_error="record")


def test_a_repeated_prediction_is_refused() -> None:
    table = pd.DataFrame(
        {
            "timestamp": pd.to_datetime(["2020-01-01"], utc=True),
            "symbol": ["A"],
            "target": ["t"],
            "model_id": ["m"],
            "score": np.float32([1]),
            "prob_short": np.float32([np.nan]),
            "prob_neutral": np.float32([np.nan]),
            "prob_long": np.float32([np.nan]),
        }
    )
    with pytest.raises(UserError, match="occurs twice"):
        join_predictions([table, table])


def test_training_and_collecting_give_one_routed_model(
    expand: Callable[..., list[TrainingJob]], config: ModelTrainingConfig
) -> None:
    jobs = expand(config)
    store = jobs[0].store_root
    how = jobs_config(store)
    outcomes, costs, job_costs = train(jobs, "CPU", how)
    assert [one["job_id"] for one in job_costs] == [job.job_id for job in jobs]
    assert all(one["seconds"] > 0 < one["peak_megabytes"] for one in job_costs)
    assert not any({"seconds", "peak_megabytes"} & set(one) for one in outcomes)
    assert (costs.n_jobs, costs.workers, costs.engine) == (4, 1, "serial")
    unknown = how.model_copy(update={"family_timeout_seconds": {"lihtgbm": 9.0}})
    with pytest.raises(UserError, match=r"family_timeout_seconds: .*'lihtgbm'"):
        train(jobs, "CPU", unknown)
    again = train(jobs, "CPU", how)
    assert again.outcomes == outcomes
    assert (costs.n_cached, again.costs.n_cached) == (0, 4)
    assert json.loads(json.dumps(outcomes)) == outcomes
    ledger = Ledger(Path(store) / "ledger" / "cpu_models").read()
    assert set(ledger) == {j.job_id for j in jobs}
    route = {"route": "CROSS_SECTIONAL", "symbols": {"S01": {"route": "BOTH"}}}
    slopes = {"mean": 0.1, "slopes": {"S00": 0.3, "S01": -0.2}}
    plan = {"targets": {"fwd_ret_2d": {**route, "partial_pooling": slopes}}}
    models, predictions, rows = collect_routed(jobs, outcomes, plan, on_error="raise")
    assert list(rows["status"]) == ["done"] * 4
    by_route = models.groupby("route")["model_id"].apply(list).to_dict()
    assert by_route["routed"] == [
        "lightgbm+ridge:fwd_ret_2d:routed",
        "ridge+ridge:fwd_ret_2d:routed",
    ]
    assert by_route["partial_pooling"] == [
        "lightgbm:fwd_ret_2d:partial_pooling",
        "ridge:fwd_ret_2d:partial_pooling",
    ]
    slope = models.set_index("model_id")["calibration_slope"]
    # two regressions on a signal that is there: a unit of score is worth about one
    assert slope["ridge:fwd_ret_2d"] == pytest.approx(1, abs=0.5)
    assert np.isnan(slope["ridge:up"])
    wide = predictions.astype({"model_id": "str"}).pivot(
        index=["timestamp", "symbol"], columns="model_id", values="score"
    )
    own = wide["ridge:fwd_ret_2d:S01"].notna()
    pooled = wide["lightgbm:fwd_ret_2d"]
    centred = pooled - pooled.groupby("timestamp").transform("mean")
    unit = {
        name: shrunk_slope(rows["calibration_slope"], rows["calibration_error"])
        for name, rows in models.groupby("model_id")
    }
    centred *= unit["lightgbm:fwd_ret_2d"]
    both = wide["ridge:fwd_ret_2d:S01"] * unit["ridge:fwd_ret_2d:S01"] + centred
    got = wide["lightgbm+ridge:fwd_ret_2d:routed"]
    np.testing.assert_allclose(got[own], both[own] / 2, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(got[~own], centred[~own], rtol=1e-5, atol=1e-7)
    assert own.sum() > 20
    sloped = wide["lightgbm:fwd_ret_2d:partial_pooling"].unstack()
    ranks = pooled.unstack().rank(axis=1)
    score = norm.ppf((ranks - 0.5).div(ranks.count(axis=1), axis=0))
    factor = pd.Series(0.1, index=sloped.columns)
    factor[["S00", "S01"]] = 0.3, -0.2
    np.testing.assert_allclose(sloped, score * factor.to_numpy(), atol=1e-6)


def jobs_config(store: str) -> JobsConfig:
    return JobsConfig(
        engine="serial",
        workers=None,
        max_attempts=3,
        timeout_seconds=None,
        family_timeout_seconds={},
        address=None,
        store=store,
        ledger=f"{store}/ledger",
        checkpoints="checkpoints",
        checkpoint_seconds=30,
    )
