"""A small market whose signal is known, as arrays and as stored tables."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from ranking_pipeline.models.samples import Samples
from ranking_pipeline.panel import Panel
from ranking_pipeline.splits import make_splits
from ranking_pipeline.storage import (
    PanelHandle,
    TableHandle,
    sha256_file,
    write_panel,
    write_table,
)
from ranking_pipeline.training.fit import TrainingJob


def _load_neural_world() -> None:
    """Make ``neural_world`` importable: tests here are no package."""
    path = Path(__file__).with_name("neural_world.py")
    spec = importlib.util.spec_from_file_location("neural_world", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["neural_world"] = module
    spec.loader.exec_module(module)


_load_neural_world()

PARAMETERS: dict[str, dict[str, Any]] = {
    "lightgbm": {
        "n_rounds": 40,
        "learning_rate": 0.1,
        "max_leaves": 8,
        "max_depth": None,
        "l1": 0.0,
        "objective": "l2",
        "quantile": 0.5,
        "min_rows_per_leaf": 20,
        "row_share": 0.7,
        "feature_share": 0.7,
        "l2": 1.0,
        "max_bins": 31,
        "patience_rounds": 10,
    },
    "xgboost": {
        "n_rounds": 40,
        "learning_rate": 0.1,
        "max_depth": 3,
        "objective": "l2",
        "quantile": 0.5,
        "min_rows_per_leaf": 20,
        "row_share": 0.7,
        "feature_share": 0.7,
        "l2": 1.0,
        "max_bins": 32,
        "patience_rounds": 10,
    },
    "random_forest": {
        "n_trees": 12,
        "max_depth": 5,
        "min_rows_per_leaf": 20,
        "rows_per_tree": 1000,
        "feature_share": 0.5,
    },
    "ridge": {"expected_r2": 0.05, "clip_sigma": 3.0},
}
FEATURES = ("alpha", "beta", "noise", "constant")
LAG, HORIZON = 1, 2


@pytest.fixture(scope="session")
def parameters() -> dict[str, dict[str, Any]]:
    return PARAMETERS


# Everything that costs time, made small.
QUICK: dict[str, Any] = {
    "n_rounds": 10,
    "n_trees": 5,
    "epochs": 1,
    "sequence_length": 8,
    "hidden": 8,
    "rows_per_tree": 400,
    "sign_draws": 3,
}


@pytest.fixture(scope="session")
def quick_parameters() -> dict[str, dict[str, Any]]:
    """The block of every family in ``conf/base``, with what costs time made small."""
    path = Path(__file__).parents[2] / "conf" / "base" / "parameters_model_training.yml"
    text = re.sub(r"\$\{[^\n]*\}", "7", path.read_text("utf-8"))
    blocks = yaml.safe_load(text)["model_training"]["parameters"]
    return {
        name: {key: QUICK.get(key, value) for key, value in block.items()}
        for name, block in blocks.items()
    }


@pytest.fixture(scope="session")
def panel() -> Panel:
    random = np.random.default_rng(3)
    n_symbols, n_bars = 20, 120
    days = np.arange(n_bars) * np.timedelta64(1, "D")
    tradable = random.random((n_symbols, n_bars)) > 0.05
    values = random.random((n_symbols, n_bars, 5)).astype(np.float32) + 1
    values[~tradable] = np.nan
    return Panel(
        symbols=tuple(f"S{k:02d}" for k in range(n_symbols)),
        timestamps=np.datetime64("2020-01-01", "ns") + days,
        fields=("open", "high", "low", "close", "volume"),
        values=values,
        tradable=tradable,
    )


@pytest.fixture(scope="session")
def frames(panel: Panel) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Features and labels; the payoff depends on `alpha`, more so with `beta`."""
    random = np.random.default_rng(4)
    bars, symbols = panel.rows()
    keys = {
        "timestamp": pd.DatetimeIndex(panel.timestamps[bars]).tz_localize("UTC"),
        "symbol": np.array(panel.symbols)[symbols],
    }
    columns = random.standard_normal((len(bars), len(FEATURES))).astype(np.float32)
    columns[random.random(columns.shape) < 0.03] = np.nan
    columns[:, 3] = 1.0
    known = np.nan_to_num(columns)
    signal = 0.6 * known[:, 0] + 0.4 * known[:, 0] * known[:, 1]
    payoff = (signal + random.standard_normal(len(bars))).astype(np.float32) / 100
    ends = bars + LAG + HORIZON
    inside = ends < panel.n_bars
    stamps = panel.timestamps[np.minimum(ends, panel.n_bars - 1)].copy()
    stamps[~inside] = np.datetime64("NaT")
    end = pd.DatetimeIndex(stamps).tz_localize("UTC")
    by_task = {
        "fwd_ret_2d": payoff,
        "up": (payoff > 0).astype(np.float32),
        "touch": np.digitize(payoff, [-0.005, 0.005]).astype(np.float32) - 1,
    }
    labels = pd.DataFrame(keys)
    for name, values in by_task.items():
        labels[name] = np.where(inside, values, np.float32(np.nan)).astype(np.float32)
        labels[f"{name}__end"] = end
    return pd.DataFrame({**keys, **dict(zip(FEATURES, columns.T, strict=True))}), labels


@pytest.fixture
def job(
    tmp_path: Path, panel: Panel, frames: tuple[pd.DataFrame, pd.DataFrame]
) -> Callable[..., TrainingJob]:
    """A factory of jobs on stored tables; keywords replace single fields."""
    features, labels = frames
    write_panel(panel, tmp_path / "panel.safetensors")
    write_table(features, tmp_path / "features.parquet")
    write_table(labels, tmp_path / "labels.parquet")
    splits = make_splits(panel.timestamps, 0.6, 0.2, 0).to_dict()

    def make(**changes: Any) -> TrainingJob:
        family = changes.get("family", "lightgbm")
        fields: dict[str, Any] = {
            "job_id": f"job:{family}",
            "model_id": f"{family}:fwd_ret_2d",
            "target": "fwd_ret_2d",
            "task": "regression",
            "family": family,
            "route": "cross_sectional",
            "symbol": None,
            "features": FEATURES,
            "parameters": PARAMETERS.get(family, {}),
            "seed": 5,
            "threads": 1,
            "stage": "cpu",
            "panel": _handle(PanelHandle, tmp_path / "panel.safetensors"),
            "features_table": _handle(TableHandle, tmp_path / "features.parquet"),
            "labels_table": _handle(TableHandle, tmp_path / "labels.parquet"),
            "splits": splits,
            "store_root": str(tmp_path / "store"),
            "learning_target": "cs_gauss",
            "feature_scale": "raw",
            "max_train_rows": 100_000,
        }
        return TrainingJob(**{**fields, **changes})

    return make


def _handle(kind: Any, path: Path) -> Any:
    return kind(str(path), sha256_file(path))


@pytest.fixture(scope="session")
def samples(
    panel: Panel, frames: tuple[pd.DataFrame, pd.DataFrame]
) -> Callable[[str], tuple[Samples, Samples, Samples]]:
    """Train, validation and later rows of a task."""
    from ranking_pipeline.models.assemble import assemble

    names = {"regression": "fwd_ret_2d", "binary": "up", "three_class": "touch"}

    def make(task: str) -> tuple[Samples, Samples, Samples]:
        rows = assemble(panel, *frames, names[task], task, FEATURES)
        blocks = (rows.bars < 60, (rows.bars >= 66) & (rows.bars < 80), rows.bars >= 86)
        train, validation, later = (rows.take(block) for block in blocks)
        return train.labelled(), validation.labelled(), later

    return make
