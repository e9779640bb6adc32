"""A market whose next payoff follows the last bar's own return, and small networks."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ranking_pipeline.models.samples import Samples
from ranking_pipeline.panel import OHLCV, Panel

SYMBOLS, BARS = 8, 150
COMMON: dict[str, Any] = {
    "hidden": 8,
    "layers": 1,
    "dropout": 0.1,
    "regression_loss": "huber",
    "loss_parameters": {},
    "epochs": 8,
    "timestamps_per_batch": 16,
    "learning_rate": 0.01,
    "weight_decay": 0.0,
    "gradient_clip": 1.0,
    "patience": 3,
    "min_delta": 0.0,
    "device": "cpu",
}
WINDOWS = COMMON | {"sequence_length": 5, "normalization": "log_returns"}
OWN: dict[str, dict[str, Any]] = {
    "gru": {},
    "lstm": {},
    "alstm": {},
    "tcn": {"kernel_size": 3},
    "transformer": {"heads": 2},
    "mixer": {},
    "stock_transformer": {
        "heads": 2,
        "prediction_layers": None,
        "max_missing_share": 0.0,
        "symbols_per_timestamp": None,
        "timestamps_per_epoch": None,
        "max_validation_rows": None,
    },
    "cross_stock": {"heads": 2, "market_tokens": 3},
    "cnn1d": {"kernel_size": 3},
    "nhits": {"pooling": [2, 1], "horizon": 4},
    "tft": {"heads": 2},
    "patchtst": {"heads": 2, "patch_length": 3, "patch_stride": 2},
}
TABULAR: dict[str, dict[str, Any]] = {"mlp": {}, "tab_transformer": {"heads": 2}}
PARAMETERS = {
    family: COMMON | {"clip_sigma": 3.0} | own for family, own in TABULAR.items()
} | {family: WINDOWS | own for family, own in OWN.items()}
SEQUENCES = list(OWN)


def samples(task: str, seed: int = 0) -> Samples:
    """Rows whose target follows the first factor, which is the bar's own return."""
    rng = np.random.default_rng([seed, 31])
    returns = rng.normal(0, 0.01, (SYMBOLS, BARS))
    close = 50 * np.exp(np.cumsum(returns, axis=1))
    fields = [close * np.exp(rng.normal(0, 0.001, close.shape)) for _ in range(3)]
    volume = np.exp(rng.normal(12, 0.3, close.shape))
    values = np.stack([*fields, close, volume], axis=2).astype(np.float32)
    values[4, 60] = np.nan
    panel = Panel(
        tuple(f"S{i}" for i in range(SYMBOLS)),
        np.datetime64("2024-01-01", "ns") + np.arange(BARS) * np.timedelta64(1, "D"),
        OHLCV,
        values,
        np.isfinite(values[:, :, 3]),
    )
    bars, symbols = panel.rows()
    features = rng.normal(size=(len(bars), 3)).astype(np.float32)
    features[:, 0] = returns[symbols, bars] * 100
    payoff = -features[:, 0] + 0.5 * rng.normal(size=len(bars))
    cut = {"regression": payoff, "binary": payoff > 0, "three_class": payoff}[task]
    if task == "three_class":
        cut = np.where(payoff > 0.5, 1, np.where(payoff < -0.5, -1, 0))
    features[rng.random(len(bars)) < 0.1, 1] = np.nan
    return Samples(
        panel,
        bars,
        symbols,
        features,
        ("own", "other", "noise"),
        np.asarray(cut, dtype=np.float32),
        bars + 1,
        task,
    )


def split(rows: Samples) -> tuple[Samples, Samples, Samples]:
    """Train, validation and test rows."""
    return (
        rows.take((rows.bars >= 30) & (rows.bars < 90)),
        rows.take((rows.bars >= 91) & (rows.bars < 115)),
        rows.take(rows.bars >= 116),
    )


def skill(score: npt.NDArray[Any], target: npt.NDArray[Any]) -> float:
    """Correlation of scores with targets."""
    return float(np.corrcoef(score, target)[0, 1])
