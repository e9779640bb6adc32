"""A calendar, parameters and a setting for the tests of plans."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ranking_pipeline.routing.estimates import Market
from ranking_pipeline.routing.setting import Setting
from ranking_pipeline.routing.walk_forward import TimeAxis
from ranking_pipeline.splits import make_splits
from ranking_pipeline.training.config import ModelTrainingConfig

BOOSTED = {
    "n_rounds": 100,
    "learning_rate": 0.1,
    "max_leaves": 31,
    "max_depth": None,
    "l1": 0.0,
    "objective": "l2",
    "quantile": 0.5,
    "min_rows_per_leaf": 20,
    "row_share": 0.5,
    "feature_share": 0.5,
    "l2": 1.0,
    "max_bins": 31,
    "patience_rounds": 10,
}
RIDGE = {"expected_r2": 0.05, "clip_sigma": 3.0}


def training_config(**changes: Any) -> ModelTrainingConfig:
    values: dict[str, Any] = {
        "model_types": "all",
        "strategy": "single_task",
        "ensembles": {"methods": (), "folds": 3, "families": ()},
        "targets": (),
        "symbols": (),
        "families": ("lgbm", "ridge"),
        "symbol_families": ("ridge",),
        "learning_target": "cs_gauss",
        "feature_scale": "rank",
        "sample_weights": "none",
        "max_train_rows": 100_000,
        "seeds": (1,),
        "on_error": "record",
        "parameters": {"lightgbm": BOOSTED, "ridge": RIDGE},
    }
    refits = {
        "refit_months": changes.pop("refit_months", None),
        "train_months": changes.pop("train_months", None),
        "validation_share": changes.pop("validation_share", 0.15),
        "min_train_rows": changes.pop("min_train_rows", 100),
    }
    return ModelTrainingConfig.model_validate(
        {**values, "walk_forward": refits, **changes}
    )


def business_days(
    first: str = "2019-01-02", n_bars: int = 520, embargo: int = 0
) -> TimeAxis:
    """Daily bars, 70 % train and 15 % validation."""
    days = pd.bdate_range(first, periods=n_bars).to_numpy().astype("M8[ns]")
    splits = make_splits(days, 0.7, 0.15, embargo)
    return TimeAxis(days, days.astype("M8[D]"), splits)


def five_minutes(n_days: int = 60) -> TimeAxis:
    """Bars whose UTC date is the day after their trading date: a night session."""
    dates = pd.bdate_range("2020-01-02", periods=n_days).to_numpy().astype("M8[D]")
    dates = np.repeat(dates, 4)
    minutes = np.tile(np.arange(4) * 5 + 24 * 60 + 5, n_days).astype("m8[m]")
    stamps = dates.astype("M8[ns]") + minutes
    return TimeAxis(stamps, dates, make_splits(stamps, 0.6, 0.2, 0))


TASKS = {
    "fwd_ret_1d": "regression",
    "fwd_ret_5d": "regression",
    "label_h5": "three_class",
}


def setting(axis: TimeAxis | None = None, **changes: Any) -> Setting:
    return Setting(
        axis or business_days(),
        Market(rows=12_000, classes=frozenset({"label_h5"})),
        TASKS,
        training_config(**changes),
    )
