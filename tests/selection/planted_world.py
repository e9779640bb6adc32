"""A small market with known answers: panel, features, labels, manifests, splits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from ranking_pipeline.panel import OHLCV, Panel
from ranking_pipeline.selection.config import (
    FeatureSelectionConfig,
    LeakageConfig,
    TargetRankingConfig,
)
from ranking_pipeline.selection.training_data import TrainingData
from ranking_pipeline.splits import Splits, make_splits

RIDGE = {"ridge": {"expected_r2": 0.05, "clip_sigma": 3.0}}
LEAKAGE: dict[str, Any] = {
    "near_copy_correlation": 0.999,
    "min_pairs": 10,
    "max_partial_ic": 0.1,
    "max_partial_size_ic": 0.15,
    "confidence": 0.999,
    "max_time_correlation": 0.99,
    "volatility_columns": ("vol_20",),
    "label_name_parts": ("fwd", "mfe", "bars_to_hit"),
    "dominance_share": 0.3,
    "dominance_ratio": 3.0,
    "dominance_alone": 0.4,
    "min_drop": 0.15,
    "min_relative_drop": 0.25,
    "min_confirm_rows": 500,
    "min_confirm_symbols": 3,
    "sentinels": ("time_shuffle", "symbol_holdout"),
    "allow_suspect": False,
}
# for signals stronger than any real one
LENIENT = {**LEAKAGE, "max_partial_ic": 0.9, "max_partial_size_ic": 0.9}
ESTIMATION: dict[str, Any] = {
    "model_families": ("ridge",),
    "family_parameters": RIDGE,
    "learning_target": "cs_gauss",
    "cv_folds": 3,
    "max_samples_per_symbol": 10_000,
    "max_train_rows": 100_000,
    "min_symbols": 10,
    "min_per_class": 5,
    "leakage": LEAKAGE,
    "seed": 1,
    "threads": 1,
}


@dataclass(frozen=True)
class World:
    """Tables of a planted market."""

    panel: Panel
    features: pd.DataFrame
    feature_manifest: pd.DataFrame
    labels: pd.DataFrame
    target_manifest: pd.DataFrame
    splits: Splits

    def data(self) -> TrainingData:
        return TrainingData.cut(
            self.panel,
            self.features,
            self.feature_manifest,
            self.labels,
            self.target_manifest,
            self.splits,
        )

    def matrix(self, values: np.ndarray) -> np.ndarray:
        """Rows (bar, symbol) of a (T, S) matrix."""
        bars, symbols = self.panel.rows()
        return values[bars, symbols]

    def with_feature(self, name: str, values: np.ndarray) -> World:
        """One more feature column, given as a (T, S) matrix."""
        column = self.matrix(values).astype(np.float32)
        group = "volatility" if name.startswith("vol_") else "planted"
        manifest = pd.DataFrame({"name": [name], "group": [group]})
        return replace(
            self,
            features=self.features.assign(**{name: column}),
            feature_manifest=pd.concat(
                [self.feature_manifest, manifest], ignore_index=True
            ),
        )

    def with_target(
        self, name: str, values: np.ndarray, horizon: int, task: str, kind: str
    ) -> World:
        """One more target, given as a (T, S) matrix of labels."""
        end_bar = np.arange(self.panel.n_bars) + 1 + horizon
        known = end_bar < self.panel.n_bars
        stamps = pd.DatetimeIndex(self.panel.timestamps).tz_localize("UTC")
        end = pd.Series(pd.NaT, index=range(len(end_bar)), dtype=self.end_type)
        end[known] = stamps[end_bar[known]]
        bars, symbols = self.panel.rows()
        label = np.where(known[bars], values[bars, symbols], np.nan)
        row = {
            "target": name,
            "kind": kind,
            "task": task,
            "horizon_bars": horizon,
            "entry_lag_bars": 1,
            "payoff": name,
            "is_target": True,
        }
        columns = {
            name: label.astype(np.float32),
            f"{name}__end": end.to_numpy()[bars],
        }
        labels = self.labels.assign(**columns)
        labels[f"{name}__end"] = pd.to_datetime(labels[f"{name}__end"], utc=True)
        manifest = pd.concat(
            [self.target_manifest, pd.DataFrame([row])], ignore_index=True
        )
        return replace(self, labels=labels, target_manifest=manifest)

    end_type = "datetime64[ns, UTC]"


def empty_world(n_bars: int, n_symbols: int, n_features: int, seed: int) -> World:
    """Noise features and ``vol_20``, no targets; 70 % of the bars are train."""
    rng = np.random.default_rng([seed, 1])
    stamps = pd.date_range("2020-01-01", periods=n_bars, freq="D").to_numpy(
        dtype="datetime64[ns]"
    )
    tradable = rng.random((n_symbols, n_bars)) > 0.03
    panel = Panel(
        tuple(f"S{index:03d}" for index in range(n_symbols)),
        stamps,
        OHLCV,
        np.where(tradable[:, :, None], 1.0, np.nan).astype(np.float32)
        * np.ones(5, dtype=np.float32),
        tradable,
    )
    bars, symbols = panel.rows()
    key = {
        "timestamp": pd.DatetimeIndex(stamps).tz_localize("UTC")[bars],
        "symbol": np.array(panel.symbols, dtype=object)[symbols],
    }
    values = rng.normal(size=(len(bars), n_features)).astype(np.float32)
    names = [f"noise_{index:02d}" for index in range(n_features)]
    world = World(
        panel,
        pd.DataFrame(key).assign(**dict(zip(names, values.T, strict=True))),
        pd.DataFrame({"name": names, "group": "noise"}),
        pd.DataFrame(key),
        pd.DataFrame(
            columns=[
                "target", "kind", "task", "horizon_bars", "entry_lag_bars", "payoff",
                "is_target",
            ]
        ),
        make_splits(stamps, 0.7, 0.15, 0),
    )  # fmt: skip
    return world.with_feature("vol_20", persistent(n_bars, n_symbols, seed))


def persistent(
    n_bars: int, n_symbols: int, seed: int, memory: float = 0.97
) -> np.ndarray:
    """Stationary AR(1) per symbol, unit variance, shape (T, S)."""
    rng = np.random.default_rng([seed, 2])
    shocks = rng.normal(size=(n_bars, n_symbols)) * np.sqrt(1 - memory**2)
    values = np.empty((n_bars, n_symbols))
    values[0] = rng.normal(size=n_symbols)
    for bar in range(1, n_bars):
        values[bar] = memory * values[bar - 1] + shocks[bar]
    return values


def signal_world(
    ic: float,
    *,
    n_bars: int = 500,
    n_symbols: int = 40,
    n_features: int = 4,
    seed: int = 0,
    loading: np.ndarray | None = None,
) -> World:
    """A feature ``signal`` with rank IC of about ``ic`` with ``fwd_ret_1d``."""
    rng = np.random.default_rng([seed, 3])
    world = empty_world(n_bars, n_symbols, n_features, seed)
    signal = rng.normal(size=(n_bars, n_symbols))
    noise = rng.normal(size=(n_bars, n_symbols))
    strength = np.ones(n_symbols) if loading is None else loading
    returns = 0.01 * (ic * strength * signal + np.sqrt(1 - ic**2) * noise)
    world = world.with_feature("signal", signal)
    return world.with_target("fwd_ret_1d", returns, 1, "regression", "forward_return")


def ranking_config(**changes: Any) -> TargetRankingConfig:
    """Ranking with ridge alone, which is fast."""
    values = {
        **ESTIMATION,
        "auto": True,
        "manual_targets": (),
        "top_n_targets": 5,
        "min_predictability_score": 0.1,
        "false_discovery_rate": 0.1,
        "strict": True,
    }
    return TargetRankingConfig.model_validate({**values, **changes})


def selection_config(**changes: Any) -> FeatureSelectionConfig:
    """Selection with two small tree families."""
    values = {
        **ESTIMATION,
        "model_families": ("lightgbm", "random_forest"),
        "family_parameters": SMALL_TREES,
        "cv_folds": 2,
        "auto": True,
        "manual_features": (),
        "top_m_features": 3,
        "require_min_models": 2,
        "importance_methods": ("native", "permutation"),
        "permutation_repeats": 2,
        "permutation_max_rows": 2000,
        "shap_max_rows": 200,
        "max_redundancy": 1.0,
        "cluster_linkage": "average",
        "filters": NO_FILTERS,
        "stability_top": 3,
        "stability_seeds": 1,
        "stability_null": False,
        "symbol_importance": NO_SYMBOLS,
        "allow_fallback": False,
        "strict": False,
    }
    values |= changes
    if "require_min_models" not in changes:
        values["require_min_models"] = min(2, len(values["model_families"]))
    return FeatureSelectionConfig.model_validate(values)


NO_FILTERS: dict[str, Any] = {
    "min_coverage": None,
    "min_rank_variance": None,
    "min_abs_ic_t": None,
    "min_mutual_information": None,
}
NO_SYMBOLS = {"max_symbols": 0, "min_rows": 100, "relative_threshold": 0.1}


def leakage_config(**changes: Any) -> LeakageConfig:
    return LeakageConfig.model_validate({**LEAKAGE, **changes})


SMALL_TREES = {
    "lightgbm": {
        "n_rounds": 15,
        "learning_rate": 0.2,
        "max_leaves": 7,
        "max_depth": None,
        "l1": 0.0,
        "objective": "l2",
        "quantile": 0.5,
        "min_rows_per_leaf": 50,
        "row_share": 0.8,
        "feature_share": 0.8,
        "l2": 1.0,
        "max_bins": 31,
        "patience_rounds": 5,
    },
    "random_forest": {
        "n_trees": 12,
        "max_depth": 4,
        "min_rows_per_leaf": 50,
        "rows_per_tree": 3000,
        "feature_share": 0.6,
    },
}
