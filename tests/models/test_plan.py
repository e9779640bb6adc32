"""Expanding a plan and collecting its outcomes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ranking_pipeline.errors import UserError
from ranking_pipeline.jobs.config import JobsConfig
from ranking_pipeline.jobs.outcome import Ledger, Outcome
from ranking_pipeline.jobs.run import run_jobs
from ranking_pipeline.models.collect import (
    MODEL_COLUMNS,
    OUTCOME_COLUMNS,
    PREDICTION_COLUMNS,
    collect,
    join_predictions,
)
from ranking_pipeline.models.config import ModelTrainingConfig
from ranking_pipeline.models.plan import expand_plan
from ranking_pipeline.models.routed import collect_routed
from ranking_pipeline.models.training import TrainingJob, run_training_job, train

MANIFEST = pd.DataFrame(
    {"target": ["fwd_ret_2d", "up"], "task": ["regression", "binary"]}
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
        families=("lightgbm", "ridge"),
        symbol_families=("Ridge",),
        learning_target="cs_gauss",
        feature_scale="raw",
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
            _row("a", "fwd_ret_2d", None, "random_forest"),
            _row("b", "gone", None, "ridge"),
            _row("c", "up", None, "ridgge"),
            _row("d", "up", None, "lightgbm"),
        ]
    }
    spoilt = {**config.parameters, "lightgbm": {"n_round": 3}}
    with pytest.raises(UserError) as caught:
        expand(config.model_copy(update={"parameters": spoilt}), plan)
    text = str(caught.value)
    assert "job a: none of its families ['random_forest'] is enabled" in text
    assert "job b: target 'gone' is not in the target manifest" in text
    assert "Did you mean 'ridge'?" in text
    assert "n_round: unknown key" in text


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
    how = JobsConfig(
        engine="serial",
        workers=None,
        max_attempts=3,
        address=None,
        store=store,
        checkpoints="checkpoints",
        checkpoint_seconds=30,
    )
    outcomes = train(jobs, "CPU", how)
    assert outcomes == train(jobs, "CPU", how)
    assert json.loads(json.dumps(outcomes)) == outcomes
    assert set(Ledger(Path(store) / "ledger").read()) == {j.job_id for j in jobs}
    route = {"route": "CROSS_SECTIONAL", "symbols": {"S01": {"route": "BOTH"}}}
    models, predictions, rows = collect_routed(
        jobs, outcomes, {"targets": {"fwd_ret_2d": route}}, on_error="raise"
    )
    assert list(rows["status"]) == ["done"] * 4
    made = models[models["route"] == "routed"]
    assert list(made["model_id"]) == [
        "lightgbm+ridge:fwd_ret_2d:routed",
        "ridge+ridge:fwd_ret_2d:routed",
    ]
    wide = predictions.astype({"model_id": "str"}).pivot(
        index=["timestamp", "symbol"], columns="model_id", values="score"
    )
    own = wide["ridge:fwd_ret_2d:S01"].notna()
    both = (wide["ridge:fwd_ret_2d:S01"] + wide["lightgbm:fwd_ret_2d"]) / 2
    got = wide["lightgbm+ridge:fwd_ret_2d:routed"]
    np.testing.assert_allclose(got[own], both[own], rtol=1e-6)
    np.testing.assert_array_equal(got[~own], wide["lightgbm:fwd_ret_2d"][~own])
    assert own.sum() > 20
