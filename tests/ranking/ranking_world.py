"""A small market with a planted signal, and a ranker fitted to it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ranking_pipeline.learning.loop import LoopConfig
from ranking_pipeline.learning.networks import NetworkSpec
from ranking_pipeline.ranking.ranker import (
    Ranker,
    RankerSpec,
    TrainingData,
    train_ranker,
)
from ranking_pipeline.ranking.targets import TargetSpec, cross_sectional_target

SYMBOLS, BARS = 16, 260


@dataclass(frozen=True)
class World:
    """Bars (S, T, 5), payoffs (T, S), and the cells of train and validation."""

    ohlcv: np.ndarray
    payoff: np.ndarray
    cells: tuple[np.ndarray, np.ndarray]

    @property
    def data(self) -> TrainingData:
        return TrainingData(
            self.ohlcv,
            self.target,
            self.payoff,
            *self.cells,
            lag_bars=0,
            horizon_bars=1,
        )

    @property
    def target(self) -> np.ndarray:
        return cross_sectional_target(self.payoff, TargetSpec(min_symbols=8))


def make_world(seed: int = 0) -> World:
    """Yesterday's return of each symbol is partly taken back."""
    rng = np.random.default_rng([seed, 21])
    returns = rng.normal(0, 0.01, (SYMBOLS, BARS))
    for bar in range(1, BARS):
        returns[:, bar] -= 0.5 * returns[:, bar - 1]
    close = 50 * np.exp(np.cumsum(returns, axis=1))
    open_ = close * np.exp(rng.normal(0, 0.002, close.shape))
    high, low = np.maximum(open_, close) * 1.002, np.minimum(open_, close) * 0.998
    volume = np.exp(rng.normal(12, 0.3, close.shape))
    ohlcv = np.stack([open_, high, low, close, volume], axis=2).astype(np.float32)
    ohlcv[3, 150:152] = np.nan
    price = ohlcv[:, :, 3].astype(float)
    payoff = np.full((BARS, SYMBOLS), np.nan)
    payoff[:-1] = (price[:, 1:] / price[:, :-1] - 1).T
    bar = np.arange(BARS)[:, None] + np.zeros((1, SYMBOLS))
    return World(ohlcv, payoff, (bar < 180, (bar >= 182) & (bar < 225)))


def make_spec(**changes: object) -> RankerSpec:
    values = {
        "sequence_length": 6,
        "normalization": "log_returns",
        "network": NetworkSpec("mlp", 8, 1, 0.1),
        "loss": "pairwise",
        "loss_parameters": {},
        "loop": LoopConfig(epochs=6, timestamps_per_batch=16, learning_rate=1e-2),
        "seeds": (0, 1),
        "min_symbols": 10,
        "top_pct": 0.2,
        "bottom_pct": 0.2,
    }
    return RankerSpec(**(values | changes))  # type: ignore[arg-type]


def fit(world: World, **changes: object) -> Ranker:
    """Train on the world."""
    return train_ranker(world.data, make_spec(**changes))
