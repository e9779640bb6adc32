"""A small world with a planted signal, in the tables that the evaluation reads."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ranking_pipeline.evaluation.baselines import forward_returns
from ranking_pipeline.evaluation.config import EvaluationConfig
from ranking_pipeline.panel import OHLCV, Panel
from ranking_pipeline.splits import make_splits

BARS, SYMBOLS = 400, 40
FIRST_VALIDATION, FIRST_TEST = 160, 280


def config(**changes: Any) -> EvaluationConfig:
    values: dict[str, Any] = {
        "primary_target": "fwd_ret_1d",
        "min_symbols_per_timestamp": 10,
        "min_symbols_for_ranks": 2,
        "min_coverage": 0.5,
        "tail_share": 0.1,
        "cost_bps_per_side": 5.0,
        "periods_per_year": None,
        "random_seed": 0,
        "shown_models_per_target": 2,
    }
    return EvaluationConfig(**(values | changes))


@dataclass(frozen=True)
class World:
    """Tables of one run; ``score`` adds a model's rows."""

    panel: Panel
    labels: pd.DataFrame
    target_manifest: pd.DataFrame
    splits: dict[str, Any]
    signal: np.ndarray
    predictions: list[pd.DataFrame] = field(default_factory=list)
    models: list[pd.DataFrame] = field(default_factory=list)

    def inputs(self, **changes: Any) -> dict[str, Any]:
        names = ("panel", "labels", "target_manifest", "splits", "predictions")
        own = {name: getattr(self, name) for name in (*names, "models")}
        return own | {"config": config()} | changes

    def configured(self, **changes: Any) -> EvaluationConfig:
        return config(**changes)

    def truth(self) -> pd.DataFrame:
        bars, symbols = self.panel.rows()
        frame = self.keys(bars, symbols)
        return frame.assign(oracle_score=self.signal[bars, symbols], loading=1.0)

    def keys(self, bars: np.ndarray, symbols: np.ndarray) -> pd.DataFrame:
        stamps = pd.DatetimeIndex(self.panel.timestamps).tz_localize("UTC")
        names = np.array(self.panel.symbols, dtype=object)
        return pd.DataFrame({"timestamp": stamps[bars], "symbol": names[symbols]})

    def score(
        self,
        model_id: str,
        matrix: np.ndarray,
        target: str = "fwd_ret_1d",
        **meta: Any,
    ) -> "World":
        bars, symbols = self.panel.rows()
        kept = (bars >= FIRST_VALIDATION) & np.isfinite(matrix[bars, symbols])
        bars, symbols = bars[kept], symbols[kept]
        frame = self.keys(bars, symbols)
        frame = frame.assign(target=target, model_id=model_id)
        frame["score"] = matrix[bars, symbols].astype(np.float32)
        row = {"model_id": model_id, "target": target, "family": "ridge"}
        row |= {"route": "cross_sectional", "symbol": "", "seed": 0} | meta
        return replace(
            self,
            predictions=[*self.predictions, frame],
            models=[*self.models, pd.DataFrame([row])],
        )


@pytest.fixture(scope="session")
def world() -> World:
    rng = np.random.default_rng(11)
    signal = rng.normal(size=(BARS, SYMBOLS))
    returns = rng.normal(0, 0.01, (BARS, SYMBOLS))
    returns[2:] += 0.003 * signal[:-2]
    close = 50 * np.exp(np.cumsum(returns, axis=0))
    close[rng.random(close.shape) < 0.02] = np.nan
    values = np.repeat(close.T[:, :, None], 5, axis=2).astype(np.float32)
    stamps = pd.bdate_range("2020-01-01 21:00", periods=BARS).to_numpy()
    panel = Panel(
        tuple(f"S{i:02d}" for i in range(SYMBOLS)),
        stamps.astype("datetime64[ns]"),
        OHLCV,
        values,
        np.isfinite(close.T),
    )
    empty = World(panel, pd.DataFrame(), pd.DataFrame(), _splits(panel), signal)
    return replace(empty, labels=_labels(empty), target_manifest=_manifest())


def _labels(world: World) -> pd.DataFrame:
    panel = world.panel
    bars, symbols = panel.rows()
    frame = world.keys(bars, symbols)
    stamps = pd.DatetimeIndex(panel.timestamps).tz_localize("UTC")
    for horizon in (1, 5):
        name = f"fwd_ret_{horizon}d"
        values = forward_returns(panel, 1, horizon)[bars, symbols]
        end = stamps[np.minimum(bars + 1 + horizon, BARS - 1)]
        frame[name] = values.astype(np.float32)
        frame[f"{name}__end"] = end.where(np.isfinite(values))
    known = frame["fwd_ret_5d"].notna()
    up = (frame["fwd_ret_5d"] > 0).astype(np.float32)
    frame["direction_5d"] = up.where(known)
    frame["direction_5d__end"] = frame["fwd_ret_5d__end"]
    return frame


def _manifest() -> pd.DataFrame:
    rows = [
        ("fwd_ret_1d", "forward_return", "regression", 1, 1, "fwd_ret_1d", True),
        ("fwd_ret_5d", "forward_return", "regression", 5, 1, "fwd_ret_5d", True),
        ("direction_5d", "path", "binary", 5, 1, "fwd_ret_5d", True),
    ]
    names = "target kind task horizon_bars entry_lag_bars payoff is_target".split()
    return pd.DataFrame(rows, columns=names)


def _splits(panel: Panel) -> dict[str, Any]:
    shares = FIRST_VALIDATION / BARS, (FIRST_TEST - FIRST_VALIDATION) / BARS
    return make_splits(panel.timestamps, *shares, embargo_bars=0).to_dict()
