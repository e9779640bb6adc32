"""Tests of tuning share the small market of the model tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.models.conftest import frames, job, panel, parameters, samples

from ranking_pipeline.jobs.config import JobsConfig
from ranking_pipeline.panel import Panel
from ranking_pipeline.splits import Splits
from ranking_pipeline.training.job import TrainingJob
from ranking_pipeline.tuning.config import TuningConfig
from ranking_pipeline.tuning.fold_windows import fold_windows
from ranking_pipeline.tuning.study_plan import StudyPlan

__all__ = ["frames", "job", "panel", "parameters", "samples"]

pytest.importorskip("optuna")

SPACES = {
    "ridge": {
        "expected_r2": {"kind": "float", "low": 0.001, "high": 0.9, "log": True},
        "clip_sigma": {"kind": "float", "low": 1.0, "high": 6.0, "step": 0.5},
    },
    "lightgbm": {
        "max_leaves": {"kind": "int", "low": 2, "high": 16, "log": True},
        "learning_rate": {"kind": "float", "low": 0.01, "high": 0.3, "log": True},
    },
}


@pytest.fixture
def config(tmp_path: Path, project: Path) -> Callable[..., TuningConfig]:
    """The shipped parameters, made small; keywords replace single fields."""
    shipped = yaml.safe_load((project / "conf/base/parameters_tuning.yml").read_text())

    def make(**changes: Any) -> TuningConfig:
        small: dict[str, Any] = {
            "families": ["ridge"],
            "targets": ["fwd_ret_2d"],
            "n_trials": 8,
            "batch_size": 3,
            "startup_trials": 3,
            "folds": 2,
            "estimate_share": 0.3,
            "estimate_seeds": 2,
            "seed": 5,
            "studies": str(tmp_path / "studies"),
            "overlay": str(tmp_path / "overlay.yml"),
            "spaces": SPACES,
        }
        return TuningConfig.model_validate({**shipped["tuning"], **small, **changes})

    return make


@pytest.fixture
def how(tmp_path: Path, base_parameters: dict[str, Any]) -> Callable[..., JobsConfig]:
    """How jobs are spread; keywords replace single fields."""

    def make(**changes: Any) -> JobsConfig:
        places = {
            name: str(tmp_path / name) for name in ("store", "ledger", "checkpoints")
        }
        serial = {**base_parameters["jobs"], **places, "engine": "serial"}
        return JobsConfig.model_validate({**serial, **changes})

    return make


@pytest.fixture
def study_plan(
    job: Callable[..., TrainingJob], panel: Panel
) -> Callable[..., StudyPlan]:
    """Plan of a study on the small market."""

    def make(config: TuningConfig, family: str = "ridge", **changes: Any) -> StudyPlan:
        base = replace(job(family=family), **changes)
        folds, estimate = fold_windows(
            panel.timestamps,
            Splits.from_dict(base.splits),
            n_folds=config.folds,
            estimate_share=config.estimate_share,
            validation_share=0.2,
            min_rows=50,
        )
        return StudyPlan(base, config.spaces[family], folds, estimate, 4)

    return make
