"""Tuning from end to end: tables, verdicts, the overlay and the figures."""

from __future__ import annotations

import builtins
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf
from tests.running import Place

from ranking_pipeline.errors import UserError
from ranking_pipeline.evaluation.inference import block_test, paired_comparison
from ranking_pipeline.jobs.config import JobsConfig
from ranking_pipeline.models import registry
from ranking_pipeline.training.config import ModelTrainingConfig
from ranking_pipeline.training.job import TrainingJob
from ranking_pipeline.tuning.config import TuningConfig
from ranking_pipeline.tuning.fold import fold_skill
from ranking_pipeline.tuning.overlay import overlay_text
from ranking_pipeline.tuning.search import TrialResult
from ranking_pipeline.tuning.study import StudyResult
from ranking_pipeline.tuning.study_plan import StudyPlan, fold_job
from ranking_pipeline.tuning.tune import Tables, plan_studies, tune
from ranking_pipeline.tuning.verdicts import Verdict

Config = Callable[..., TuningConfig]
How = Callable[..., JobsConfig]
MANIFEST = pd.DataFrame(
    {
        "target": ["fwd_ret_2d", "up", "touch"],
        "task": ["regression", "binary", "three_class"],
        "entry_lag_bars": 1,
        "horizon_bars": 2,
    }
)


@pytest.fixture
def training(
    base_parameters: dict[str, Any], parameters: dict[str, dict[str, Any]]
) -> ModelTrainingConfig:
    """The shipped section with the small blocks of the tests."""
    section = base_parameters["model_training"]
    return ModelTrainingConfig.model_validate(
        {**section, "seeds": [1], "parameters": parameters}
    )


@pytest.fixture
def tables(job: Callable[..., TrainingJob]) -> Tables:
    stored = job()
    return Tables(
        stored.panel,
        stored.features_table,
        stored.labels_table,
        MANIFEST,
        stored.splits,
        {"status": "selected", "targets": ["fwd_ret_2d"]},
        {"fwd_ret_2d": ["alpha", "noise"]},
        lambda targets: {target: ("alpha", "beta") for target in targets},
    )


def test_the_tables_say_what_was_tried_and_what_was_found(
    config: Config, how: How, training: ModelTrainingConfig, tables: Tables
) -> None:
    settings = config(
        families=["lightgbm", "ridge"], targets=[], n_trials=6, batch_size=6,
        false_discovery_rate=1.0, pruner="none",
    )  # fmt: skip
    made = tune(settings, training, how(), tables)
    assert list(made.trials["trial"]) == [*range(6), *range(6)]
    assert list(made.trials["family"].unique()) == ["lightgbm", "ridge"]
    for study in made.best["studies"]:
        rows = made.trials[made.trials["family"] == study["family"]]
        assert study["best"]["value"] == rows["value"].max()
        assert study["default"]["value"] == rows["value"].iloc[0]
        assert study["n_features"] == 2
        gain = study["estimate"]["best"] - study["estimate"]["default"]
        assert study["estimate"]["difference"] == pytest.approx(gain, abs=1e-9)
        won = study["best"]["trial"] > 0 and gain > 0
        assert study["beats_default"] == won
    assert made.best["n_trials"] == 12
    json.dumps(made.best, allow_nan=False)
    for figure in (made.history, made.importances, made.slices):
        assert {"data", "layout"} <= set(figure)
        json.dumps(figure, allow_nan=False)
    assert made.history["data"]
    assert tune(settings, training, how(), tables).overlay == made.overlay


def test_the_estimate_is_a_fit_on_the_span_that_no_trial_saw(
    config: Config, how: How, training: ModelTrainingConfig, tables: Tables
) -> None:
    settings = config(n_trials=4, batch_size=4)
    study = tune(settings, training, how(), tables).best["studies"][0]
    (plan,) = plan_studies(settings, training, how(), tables)
    assert settings.estimate_seeds == 2
    skills = [
        sum(
            fold_skill(fold_job(plan, config(seed=seed), "x", found, plan.estimate))
            for seed in (settings.seed, settings.seed + 1)
        )
        / 2
        for found in (study["best"]["parameters"], study["default"]["parameters"])
    ]
    expected = paired_comparison(*skills, plan.block_bars, settings.seed).test
    assert plan.block_bars == 10
    assert study["estimate"]["difference"] == pytest.approx(expected.mean)
    assert study["estimate"]["n_bars"] == expected.n_bars == 19
    # 19 bars are no eight blocks: no test, and the defaults stay
    assert study["estimate"]["t"] is None
    assert not study["beats_default"]


def test_a_target_without_selected_features_gets_those_that_pass_the_screen(
    config: Config, how: How, training: ModelTrainingConfig, tables: Tables
) -> None:
    plans = plan_studies(
        config(targets=["touch", "fwd_ret_2d"]), training, how(), tables
    )
    assert [(p.base.target, p.base.features) for p in plans] == [
        ("touch", ("alpha", "beta")),
        ("fwd_ret_2d", ("alpha", "noise")),
    ]
    assert plans[0].base.parameters == training.parameters["ridge"]
    assert plans[0].base.learning_target == training.learning_target


def test_what_cannot_be_tuned_is_refused_before_any_fit(
    config: Config, how: How, training: ModelTrainingConfig, tables: Tables
) -> None:
    def refused(settings: TuningConfig, of: Tables = tables) -> str:
        with pytest.raises(UserError) as caught:
            plan_studies(settings, training, how(), of)
        return str(caught.value)

    assert "fwd_ret_9d is not in target_manifest" in refused(
        config(targets=["fwd_ret_9d"])
    )
    nothing = {"status": "nothing_predictable", "targets": []}
    bare = replace(tables, selected_targets=nothing)
    assert "nothing_predictable" in refused(config(targets=[]), bare)
    assert "min_symbols 21" in refused(config(min_symbols=21))
    assert "fewer folds" in refused(config(folds=40))
    narrow = {
        family: {"expected_r2": {"kind": "float", "low": 0.5, "high": 0.6}}
        for family in ("ridge", "lightgbm")
    }
    told = refused(config(families=["ridge", "lightgbm"], spaces=narrow))
    assert "tuning.spaces.ridge: expected_r2 does not hold 0.05" in told
    assert "tuning.spaces.lightgbm: expected_r2 is no parameter" in told


def test_families_are_tuned_alone_whatever_strategy_and_ensembles_say(
    config: Config, how: How, training: ModelTrainingConfig, tables: Tables
) -> None:
    settings = config(families=["ridge", "lightgbm"])
    stacked = training.ensembles.model_copy(update={"methods": ("stacking",)})
    other = training.model_copy(update={"strategy": "cascade", "ensembles": stacked})
    plain, same = (
        plan_studies(settings, one, how(), tables) for one in (training, other)
    )
    assert [plan.name for plan in plain] == [
        "ridge on fwd_ret_2d",
        "lightgbm on fwd_ret_2d",
    ]
    assert [plan.base for plan in same] == [plan.base for plan in plain]
    block = {"expected_r2": 0.05, "clip_sigma": 3.0}
    able = training.model_copy(
        update={"parameters": {**training.parameters, "logistic": block}}
    )
    spaces = {"logistic": settings.spaces["ridge"].copy()}
    lone = config(families=["logistic"], spaces=spaces)
    with pytest.raises(UserError, match="logistic"):
        plan_studies(lone, able, how(), tables)


def _verdict(
    plan: StudyPlan, tuned: dict[str, Any], p: float, gain: float, better: bool
) -> Verdict:
    trials = (
        TrialResult(0, "complete", {"expected_r2": 0.05}, np.zeros(9), ""),
        TrialResult(1, "complete", tuned, np.ones(9), ""),
    )
    result = StudyResult(plan, "k" * 64, trials, None, ())  # type: ignore[arg-type]
    found = paired_comparison(np.ones(120), np.zeros(120), 10, 1)
    test = replace(block_test(np.ones(120), 10), p=p, mean=gain)
    estimate = replace(found, test=test)
    return Verdict(result, found, np.ones(9), np.zeros(9), estimate, p, better, "why")


def test_the_overlay_holds_the_changed_parameters_of_the_surest_target(
    config: Config,
    study_plan: Callable[..., StudyPlan],
    base_parameters: dict[str, Any],
) -> None:
    settings = config()
    ridge = study_plan(settings)
    other = study_plan(settings, target="up", task="binary")
    trees = study_plan(settings, "lightgbm")
    text = overlay_text(
        [
            _verdict(ridge, {"expected_r2": 0.2, "clip_sigma": 3.0}, 0.04, 0.02, True),
            _verdict(other, {"expected_r2": 0.3, "clip_sigma": 3.0}, 0.01, 0.01, True),
            _verdict(trees, {"max_leaves": 5}, 0.5, 0.001, False),
        ]
    )
    overlay = OmegaConf.create(text)
    # 3.0 is the default: only what differs is written
    assert OmegaConf.to_container(overlay) == {
        "model_training": {"parameters": {"ridge": {"expected_r2": 0.3}}}
    }
    assert "# ridge on fwd_ret_2d: overruled by another target; why." in text
    assert "# ridge on up: tuned; why." in text
    assert "# lightgbm on fwd_ret_2d: unchanged; why." in text
    blocks = base_parameters["model_training"]["parameters"]
    base = {"model_training": {"parameters": blocks}}
    merged = OmegaConf.to_container(OmegaConf.merge(base, overlay))
    assert isinstance(merged, dict)
    block = merged["model_training"]["parameters"]["ridge"]
    assert registry.validate("ridge", block).model_dump()["expected_r2"] == 0.3


def test_without_optuna_one_line_names_the_extra(
    config: Config,
    how: How,
    training: ModelTrainingConfig,
    tables: Tables,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    honest = builtins.__import__

    def absent(name: str, *rest: Any, **more: Any) -> Any:
        if name == "optuna":
            raise ModuleNotFoundError("No module named 'optuna'", name="optuna")
        return honest(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(UserError, match=r"ranking_pipeline\[tuning\]"):
        tune(config(), training, how(), tables)


@pytest.mark.slow
def test_the_pipeline_runs_and_a_later_run_takes_its_overlay(copied: Place) -> None:
    overlay = copied.conf / "tuned" / "parameters_model_training.yml"
    params = {
        "tuning": {
            "families": ["ridge"],
            "targets": ["fwd_ret_1d"],
            "overlay": str(overlay),
            "false_discovery_rate": 1.0,
        }
    }
    copied.run("tuning", params=params)
    best = copied.load("tuning_best")["studies"][0]
    assert best["n_trials"] == 6
    written = OmegaConf.to_container(OmegaConf.load(overlay))
    assert isinstance(written, dict)
    blocks = written["model_training"]["parameters"]
    assert set(blocks) == ({"ridge"} if best["beats_default"] else set())
    tuned = replace(copied, env="tuned")
    with tuned.session() as session:
        loaded = session.load_context().params["model_training"].parameters
    wanted = best["best" if best["beats_default"] else "default"]["parameters"]
    assert {name: loaded["ridge"][name] for name in wanted} == wanted
    assert Path(overlay).read_text("utf-8") == copied.load("tuning_overlay")
