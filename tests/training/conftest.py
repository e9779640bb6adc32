"""Tests of training share the small market of the model tests, with one more target."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.models.conftest import (
    frames,
    job,
    panel,
    parameters,
    quick_parameters,
    samples,
)

from ranking_pipeline.jobs.config import JobsConfig
from ranking_pipeline.panel import Panel
from ranking_pipeline.storage import TableHandle, sha256_file, write_table
from ranking_pipeline.training.config import (
    EnsemblesConfig,
    ModelTrainingConfig,
    WalkForwardConfig,
)
from ranking_pipeline.training.job import TrainingJob
from ranking_pipeline.training.plan import expand_plan

__all__ = ["frames", "job", "panel", "parameters", "quick_parameters", "samples"]
TASKS = {"fwd_ret_2d": "regression", "fwd_ret_5d": "regression", "up": "binary"}
Row = dict[str, Any]


def row(target: str, symbol: str | None, *families: str) -> Row:
    """One row of a plan."""
    kind = "cross_sectional" if symbol is None else "symbol_specific"
    own = "cs" if symbol is None else "sym"
    return {
        "job_id": f"{own}_{target}" + (f"_{symbol}" if symbol else ""),
        "target": target,
        "symbol": symbol,
        "route": kind.upper(),
        "training_type": kind,
        "families": list(families),
        "features": ["alpha", "beta"] if target == "fwd_ret_2d" else ["alpha", "noise"],
        "priority": 2,
        "n_rows": 100,
        "reason": "",
    }


@pytest.fixture
def labels(
    frames: tuple[pd.DataFrame, pd.DataFrame], panel: Panel, tmp_path: Path
) -> TableHandle:
    """Labels with a second return, known three bars later than the first."""
    random = np.random.default_rng(8)
    table = frames[1].copy()
    bars = np.searchsorted(
        panel.timestamps, table["timestamp"].to_numpy("datetime64[ns]")
    )
    ends = bars + 6
    stamps = panel.timestamps[np.minimum(ends, panel.n_bars - 1)].copy()
    stamps[ends >= panel.n_bars] = np.datetime64("NaT")
    noise = random.standard_normal(len(table)).astype(np.float32) / 100
    value = np.where(ends < panel.n_bars, table["fwd_ret_2d"] + noise, np.nan)
    table["fwd_ret_5d"] = value.astype(np.float32)
    table["fwd_ret_5d__end"] = pd.DatetimeIndex(stamps).tz_localize("UTC")
    write_table(table, tmp_path / "two_labels.parquet")
    path = tmp_path / "two_labels.parquet"
    return TableHandle(str(path), sha256_file(path))


@pytest.fixture
def training(
    parameters: dict[str, Any], quick_parameters: dict[str, Any]
) -> Callable[..., ModelTrainingConfig]:
    """Parameters of training; keywords replace single fields."""

    def make(methods: tuple[str, ...] = (), **changes: Any) -> ModelTrainingConfig:
        fields: dict[str, Any] = {
            "model_types": "all",
            "strategy": "single_task",
            "ensembles": EnsemblesConfig(methods=methods, folds=3, families=()),
            "targets": (),
            "symbols": (),
            "walk_forward": WalkForwardConfig(
                refit_months=None,
                train_months=None,
                validation_share=0.2,
                min_train_rows=50,
            ),
            "families": ("lightgbm", "ridge"),
            "symbol_families": ("ridge",),
            "learning_target": "cs_gauss",
            "feature_scale": "rank",
            "sample_weights": "none",
            "max_train_rows": 10_000,
            "seeds": (1,),
            "on_error": "raise",
            "parameters": {
                **parameters,
                "multi_task": quick_parameters["multi_task"] | {"epochs": 3},
            },
        }
        return ModelTrainingConfig(**{**fields, **changes})

    return make


@pytest.fixture
def planned(
    job: Callable[..., TrainingJob], labels: TableHandle
) -> Callable[..., list[TrainingJob]]:
    """The jobs of a plan with both returns, a class and a model of one symbol."""
    stored = job()
    manifest = pd.DataFrame(
        {"target": list(TASKS), "task": list(TASKS.values()), "entry_lag_bars": 1}
    )
    rows = [
        row("fwd_ret_2d", None, "lightgbm", "ridge"),
        row("fwd_ret_5d", None, "lightgbm", "ridge"),
        row("up", None, "ridge"),
        row("fwd_ret_2d", "S01", "ridge"),
    ]

    def make(
        config: ModelTrainingConfig,
        plan: list[Row] | None = None,
        table: TableHandle = labels,
        store: str = stored.store_root,
    ) -> list[TrainingJob]:
        return expand_plan(
            {"jobs": plan or rows},
            config,
            target_manifest=manifest,
            splits=stored.splits,
            panel=stored.panel,
            features=stored.features_table,
            labels=table,
            store_root=store,
            threads=1,
        )

    return make


@pytest.fixture
def how(tmp_path: Path) -> Callable[..., JobsConfig]:
    """Parameters of the fan-out; keywords replace single fields."""

    def make(**changes: Any) -> JobsConfig:
        fields: dict[str, Any] = {
            "engine": "serial",
            "workers": None,
            "max_attempts": 1,
            "timeout_seconds": None,
            "family_timeout_seconds": {},
            "address": None,
            "store": str(tmp_path / "store"),
            "ledger": str(tmp_path / "ledger"),
            "checkpoints": "checkpoints",
            "checkpoint_seconds": 30,
        }
        return JobsConfig(**{**fields, **changes})

    return make
