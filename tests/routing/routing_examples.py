"""Parameters and candidate tables for the routing tests."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pandas as pd
from planted_world import ESTIMATION

from ranking_pipeline.routing.candidates import COLUMNS
from ranking_pipeline.routing.config import RoutingConfig
from ranking_pipeline.routing.states import PARTIAL, POOLED, SYMBOL, with_states
from ranking_pipeline.selection.consensus import STABILITY_COLUMNS
from ranking_pipeline.selection.leakage import COLUMNS as LEAKAGE_COLUMNS

NO_LEAKAGE = pd.DataFrame(columns=list(LEAKAGE_COLUMNS))
NO_STABILITY = pd.DataFrame(columns=list(STABILITY_COLUMNS))
TRAINING: Any = SimpleNamespace(families=("lgbm", "ridge"), symbol_families=("ridge",))
ONE = {"status": "selected", "targets": ["fwd_ret_1d"], "reason": ""}
FEATURES = {"fwd_ret_1d": ["a", "b"]}


def routing_config(**changes: Any) -> RoutingConfig:
    estimation = {k: v for k, v in ESTIMATION.items() if k != "leakage"}
    pooled = {
        "rank_ic": {"min_score": 0.01, "strong_score": 0.03, "suspicious_score": 0.5},
        "auc": {"min_score": 0.52, "strong_score": 0.58, "suspicious_score": 0.9},
    }
    symbol = {
        "rank_ic": {"min_score": 0.0, "strong_score": 0.1, "suspicious_score": 0.5},
        "auc": {"min_score": 0.5, "strong_score": 0.6, "suspicious_score": 0.9},
    }
    values = {
        **estimation,
        "cv_folds": 4,
        "mode": "auto",
        "symbol_family": "ridge",
        "max_symbols_for_symbol_routes": 100,
        "min_pooled_rows": 1000,
        "min_symbol_rows": 200,
        "min_t": 2.0,
        "false_discovery_rate": 0.1,
        "pooled": pooled,
        "symbol": symbol,
        "experimental_share": 0.2,
        "stability_top": 3,
        "require_jobs": False,
    }
    return RoutingConfig.model_validate({**values, **changes})


def pooled(**changes: Any) -> dict[str, Any]:
    """Build a pooled row that is STRONG."""
    row = {
        "target": "fwd_ret_1d", "view": "cross_section", "task": "regression",
        "mode": POOLED, "symbol": "", "metric": "rank_ic",
        "score": 0.05, "t": 5.0, "p": 0.0, "q": 0.0, "ci_low": 0.03, "ci_high": 0.07,
        "n_rows": 9000, "n_bars": 400, "n_symbols": 20, "stability": "STABLE",
        "leakage_status": "SAFE", "feature_set_id": "0123456789ab",
        "failed_model_families": "", "model_status": "measured", "compared_with": "",
    }  # fmt: skip
    return {**row, **changes}


def symbol(name: str, **changes: Any) -> dict[str, Any]:
    """Build a symbol row that is STRONG, on a symbol that the pooled model harms."""
    row = {
        **pooled(), "mode": SYMBOL, "symbol": name, "score": 0.2, "t": 4.0, "q": 0.01,
        "delta": 0.3, "delta_t": 4.0, "pooled_score": -0.1, "pooled_t": -2.0,
        "own_p": 0.5, "own_q": 0.5, "expected_gain": 0.2, "expected_score": 0.2,
        "misleads_p": 0.5, "misleads_q": 0.9,
        "compared_with": "pooled", "n_rows": 500, "n_symbols": 1,
    }  # fmt: skip
    return {**row, **changes}


# changes that bring a row into each state
POOLED_STATES: dict[str, dict[str, Any]] = {
    "STRONG": {},
    "OK": {"score": 0.02},
    "EXPERIMENTAL": {"t": 1.0},
    "DISALLOWED": {"score": 0.005},
}
SYMBOL_STATES: dict[str, dict[str, Any]] = {
    "STRONG": {},
    "OK": {"score": 0.05},
    "EXPERIMENTAL": {"q": 0.3},
    "DISALLOWED": {"score": -0.1},
}


def slopes(**by_symbol: float) -> list[dict[str, Any]]:
    """Build the rows of partial pooling."""
    summary = pooled(
        mode=PARTIAL, slope=0.5, slope_spread=0.4, delta=0.01, delta_t=2.5,
        reason="slopes differ", compared_with="pooled",
    )  # fmt: skip
    single = {**summary, "n_rows": 0, "n_bars": 0, "reason": ""}
    return [summary] + [
        {**single, "symbol": name, "slope": slope} for name, slope in by_symbol.items()
    ]


def candidates(rows: list[dict[str, Any]], config: RoutingConfig) -> pd.DataFrame:
    return with_states(pd.DataFrame(rows, columns=list(COLUMNS)), config)
