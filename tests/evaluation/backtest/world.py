"""A market of four symbols whose books can be worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from tests.evaluation.conftest import config as evaluation_config

from ranking_pipeline.evaluation.backtest.config import BacktestConfig
from ranking_pipeline.evaluation.backtest.setting import Stored
from ranking_pipeline.evaluation.config import EvaluationConfig
from ranking_pipeline.labels.delisting import no_delistings
from ranking_pipeline.panel import OHLCV, Panel
from ranking_pipeline.splits import make_splits

SYMBOLS = ("AA", "BB", "CC", "DD")
# simple return of each symbol on every bar
DAILY = np.array([0.02, 0.01, 0.0, -0.01])
BARS, FIRST_VALIDATION, FIRST_TEST = 200, 60, 120
VOLUME, SECTORS = 1000.0, ("Energy", "Utilities")
LEDGER: dict[str, Any] = {"key": "bars", "newest": [], "entries": []}


def panel(daily: np.ndarray = DAILY) -> Panel:
    """Symbols that grow at a constant rate; AA and BB are Energy."""
    moves = np.broadcast_to(daily, (BARS, len(SYMBOLS)))
    close = 100 * np.cumprod(1 + moves, axis=0)
    values = np.repeat(close.T[:, :, None], 5, axis=2).astype(np.float32)
    values[:, :, 4] = VOLUME
    stamps = pd.bdate_range("2020-01-01 21:00", periods=BARS).to_numpy()
    return Panel(
        SYMBOLS,
        stamps.astype("datetime64[ns]"),
        OHLCV,
        values,
        np.ones((len(SYMBOLS), BARS), dtype=bool),
        sectors=np.repeat(np.array([[0], [0], [1], [1]], np.int16), BARS, axis=1),
        sector_names=SECTORS,
    )


def stored(bars: Panel, **changes: Any) -> Stored:
    shares = FIRST_VALIDATION / BARS, (FIRST_TEST - FIRST_VALIDATION) / BARS
    splits = make_splits(bars.timestamps, *shares, embargo_bars=0).to_dict()
    return Stored(**({"panel": bars, "splits": splits, "ledger": LEDGER,
                      "delistings": no_delistings()} | changes))  # fmt: skip


def backtest_config(**changes: Any) -> BacktestConfig:
    values: dict[str, Any] = {
        "model_id": None,
        "target": None,
        "tail_share": None,
        "band_share": None,
        "legs": "both",
        "rebalance_bars": None,
        "capital_base": "leg",
        "cost_bps_per_side": None,
        "borrow_bps_per_year": 0.0,
        "exit_at_end": True,
        "benchmark": "equal_weight",
        "volume_share": 0.01,
        "volume_bars": 20,
    }
    return BacktestConfig(**(values | changes))


def measuring(**changes: Any) -> EvaluationConfig:
    small = {"min_symbols_per_timestamp": 2, "min_symbols_for_ranks": 2}
    return evaluation_config(**(small | {"tail_share": 0.25} | changes))


def manifest(horizon_bars: int = 1) -> pd.DataFrame:
    row = ("fwd_ret_1d", horizon_bars, 1)
    return pd.DataFrame([row], columns=["target", "horizon_bars", "entry_lag_bars"])


def leaderboard(*model_ids: str, chosen: str = "") -> pd.DataFrame:
    rows = [(name, "model", name == chosen, 0.1) for name in model_ids]
    rows += [
        ("random", "baseline", False, 0.0),
        ("reversal_5", "baseline", False, 0.05),
    ]
    board = pd.DataFrame(rows, columns=["model_id", "kind", "chosen", "validation_ic"])
    board = board.assign(target="fwd_ret_1d")
    return board.sort_values("validation_ic", ascending=False, ignore_index=True)


def metrics(*sharpes: float) -> pd.DataFrame:
    """Annual net Sharpe ratios of models, the same on both splits."""
    rows = [("model", split, value, 252.0) for value in sharpes
            for split in ("validation", "test")]  # fmt: skip
    return pd.DataFrame(
        rows, columns=["kind", "split", "net_sharpe", "periods_per_year"]
    )


def scores(
    bars: Panel, values: dict[str, float], model_id: str = "ridge", first: int = 0
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tables of models and predictions: one constant score per symbol."""
    stamps = pd.DatetimeIndex(bars.timestamps[first:]).tz_localize("UTC")
    table = pd.DataFrame(
        [(stamp, name, np.float32(score)) for stamp in stamps
         for name, score in values.items()],
        columns=["timestamp", "symbol", "score"],
    ).assign(target="fwd_ret_1d", model_id=model_id)  # fmt: skip
    table["score"] = table["score"].astype(np.float32)
    row = {"model_id": model_id, "target": "fwd_ret_1d", "family": "ridge"}
    models = pd.DataFrame([row | {"route": "cross_sectional", "symbol": "", "seed": 0}])
    return models, table
