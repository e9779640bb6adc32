"""Markets in which nothing can be predicted, or one thing that is planted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import yaml

from benchmarks.harness import PROJECT
from ranking_pipeline.panel import OHLCV, Panel
from ranking_pipeline.selection.training_data import TrainingData
from ranking_pipeline.splits import Splits, make_splits

Matrix = npt.NDArray[np.float64]
LAG = 1
WINDOWS = (1, 5, 20, 60)
PERSISTENCE = (0.9, 0.99, 0.99, 0.999)
PLANTED = "planted"


@dataclass(frozen=True)
class NoiseMarket:
    """Bars, factors of them, and targets.

    Attributes
    ----------
    returns : ndarray, shape (T, S)
        Of one bar; their volatility clusters and their symbols move together, but
        their mean cannot be foreseen.
    factors : dict of name to ndarray, shape (T, S)
        Momentum and volatility of the returns, and persistent noise.
    targets : dict of name to (ndarray of shape (T, S), horizon in bars)
        Labels as they would be known at the end of ``horizon + LAG`` bars.
    """

    returns: Matrix
    factors: dict[str, Matrix]
    targets: dict[str, tuple[Matrix, int]]

    def data(self, train_share: float) -> TrainingData:
        """Cut the tables after the given share of the bars."""
        n_bars, n_symbols = self.returns.shape
        stamps = np.datetime64("2020-01-01", "ns") + np.arange(n_bars) * np.timedelta64(
            1, "D"
        )
        panel = Panel(
            tuple(f"S{index:03d}" for index in range(n_symbols)),
            stamps,
            OHLCV,
            np.ones((n_symbols, n_bars, len(OHLCV)), dtype=np.float32),
            np.ones((n_symbols, n_bars), dtype=bool),
        )
        days = pd.DatetimeIndex(stamps).tz_localize("UTC")
        key = {
            "timestamp": np.repeat(days, n_symbols),
            "symbol": np.tile(np.array(panel.symbols, dtype=object), n_bars),
        }
        values = {k: v.ravel().astype(np.float32) for k, v in self.factors.items()}
        labels: dict[str, Any] = dict(key)
        for name, (label, horizon) in self.targets.items():
            end = np.arange(n_bars) + LAG + horizon
            ends = days[np.minimum(end, n_bars - 1)].where(end < n_bars)
            labels[name] = np.where(end[:, None] < n_bars, label, np.nan).ravel()
            labels[f"{name}__end"] = np.repeat(ends, n_symbols)
        return TrainingData.cut(
            panel,
            pd.DataFrame({**key, **values}),
            _feature_manifest(tuple(self.factors)),
            pd.DataFrame(labels),
            _target_manifest(self.targets),
            _splits(stamps, train_share),
        )


def noise_market(n_bars: int, n_symbols: int, seed: int) -> NoiseMarket:
    """Draw a market without any target."""
    rng = np.random.default_rng([seed, 11])
    returns = _returns(rng, n_bars, n_symbols)
    factors: dict[str, Matrix] = {}
    for window in WINDOWS:
        factors[f"momentum_{window}"] = _trailing(returns, window)
        if window > 1:
            factors[f"vol_{window}"] = np.sqrt(
                np.maximum(_trailing(returns**2, window), 0.0)
            )
    for index, memory in enumerate(PERSISTENCE):
        factors[f"noise_{index}"] = _persistent(rng, n_bars, n_symbols, memory)
    return NoiseMarket(returns, factors, {})


def with_return(market: NoiseMarket, horizon: int, ic: float = 0.0) -> NoiseMarket:
    """Add the forward return over ``horizon`` bars, in part foretold by ``noise_0``."""
    ahead = forward(market.returns, horizon)
    if ic:
        signal = market.factors["noise_0"]
        ahead = ahead + ic * np.nanstd(ahead) * signal
    name = PLANTED if ic else f"fwd_ret_{horizon}d"
    targets = {**market.targets, name: (ahead, horizon)}
    return NoiseMarket(market.returns, market.factors, targets)


def with_shuffled(
    market: NoiseMarket, horizons: tuple[int, ...], count: int, seed: int
) -> NoiseMarket:
    """Add targets whose labels belong to other symbols than the features.

    Each target gives every symbol the whole history of labels of another one: what
    labels have in common along time and across symbols stays, but the features of a
    symbol say nothing about them.
    """
    rng = np.random.default_rng([seed, 12])
    targets = dict(market.targets)
    n_symbols = market.returns.shape[1]
    for index in range(count):
        horizon = horizons[index % len(horizons)]
        ring = rng.permutation(n_symbols)  # nobody keeps its own place on the ring
        other = np.empty(n_symbols, dtype=np.intp)
        other[ring] = np.roll(ring, 1)
        label = forward(market.returns, horizon)[:, other]
        targets[f"shuffled_{index:02d}_{horizon}d"] = (label, horizon)
    return NoiseMarket(market.returns, market.factors, targets)


def forward(returns: Matrix, horizon: int) -> Matrix:
    """Sum of the returns of the bars t + LAG + 1 ... t + LAG + horizon."""
    total = np.full(returns.shape, np.nan)
    summed = _trailing(returns, horizon)
    total[: -LAG - horizon] = summed[LAG + horizon :]
    return total


def section(name: str, **changes: Any) -> dict[str, Any]:
    """Read the default parameters of a section, with some changed."""
    path = PROJECT / "conf" / "base" / f"parameters_{name}.yml"
    block = yaml.safe_load(path.read_text("utf-8"))[name]
    return {**block, "seed": 1, "strict": True, **changes}


def _returns(rng: np.random.Generator, n_bars: int, n_symbols: int) -> Matrix:
    """Heavy-tailed returns with a common part and volatility that clusters."""
    level = rng.normal(0.0, 0.3, n_symbols)
    own = _persistent(rng, n_bars, n_symbols, 0.97) * 0.4
    common = _persistent(rng, n_bars, 1, 0.97) * 0.4
    beta = rng.uniform(0.5, 1.5, n_symbols)
    shocks = rng.standard_t(5, (n_bars, n_symbols)) * np.exp(level + own)
    return np.asarray(
        0.01 * (shocks + beta * rng.standard_normal((n_bars, 1)) * np.exp(common))
    )


def _persistent(
    rng: np.random.Generator, n_bars: int, n_symbols: int, memory: float
) -> Matrix:
    """Stationary first-order autoregression of unit variance per symbol."""
    shocks = rng.standard_normal((n_bars, n_symbols))
    shocks[1:] *= np.sqrt(1 - memory**2)
    values = np.empty_like(shocks)
    values[0] = shocks[0]
    for bar in range(1, n_bars):
        values[bar] = memory * values[bar - 1] + shocks[bar]
    return values


def _trailing(values: Matrix, window: int) -> Matrix:
    total = np.full(values.shape, np.nan)
    summed = np.cumsum(np.vstack([np.zeros((1, values.shape[1])), values]), axis=0)
    total[window - 1 :] = summed[window:] - summed[:-window]
    return total


def _feature_manifest(names: tuple[str, ...]) -> pd.DataFrame:
    groups = ["volatility" if n.startswith("vol_") else "price" for n in names]
    return pd.DataFrame({"name": names, "group": groups})


def _target_manifest(targets: dict[str, tuple[Matrix, int]]) -> pd.DataFrame:
    rows = [
        {
            "target": name,
            "kind": "forward_return",
            "task": "regression",
            "horizon_bars": horizon,
            "entry_lag_bars": LAG,
            "payoff": name,
            "is_target": True,
        }
        for name, (_, horizon) in targets.items()
    ]
    return pd.DataFrame(rows)


def _splits(stamps: npt.NDArray[np.datetime64], train_share: float) -> Splits:
    return make_splits(stamps, train_share, (1 - train_share) / 2, 0)
