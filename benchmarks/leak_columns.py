"""Planted markets for the leak detector: graded leaks, and honest columns beside them.

Returns have a common part, sectors of unequal size and a volatility that persists, so
that bars are correlated as real ones are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ranking_pipeline.labels import LabelsConfig, compute_labels, parse_targets
from ranking_pipeline.panel import OHLCV, Panel
from ranking_pipeline.selection.training_data import TrainingData
from ranking_pipeline.splits import make_splits

LAG = 1
TARGETS = ("fwd_ret_1d", "fwd_ret_5d", "label_h5", "fwd_mdd_5d")
TRAIN_SHARE = 0.7
AUDITED = ("vol_20", "vol_60", "parkinson_20")
LABELS = LabelsConfig(
    targets=list(TARGETS),
    entry_lag_bars=LAG,
    cross_sessions=True,
    delistings=None,
    path_volatility_bars=20,
    barrier_volatility_span_bars=40,
    barrier_volatility_min_bars=5,
    barrier_multiple=0.5,
)
Matrix = np.ndarray


@dataclass(frozen=True)
class Market:
    """A simulated market, all matrices of shape (T, S)."""

    panel: Panel
    volatility: Matrix
    labels: pd.DataFrame
    manifest: pd.DataFrame

    def label(self, target: str) -> Matrix:
        """Label of a target, NaN where it is not known."""
        bars, symbols = self.panel.rows()
        result = np.full((self.panel.n_bars, self.panel.n_symbols), np.nan)
        result[bars, symbols] = self.labels[target].to_numpy(np.float64)
        return result

    def data(self, columns: dict[str, Matrix]) -> TrainingData:
        """Tables of the market with these features and the audited volatility."""
        bars, symbols = self.panel.rows()
        every = {**columns, **audited_volatility(self.panel)}
        values = {k: v[bars, symbols].astype(np.float32) for k, v in every.items()}
        key = self.labels[["timestamp", "symbol"]]
        features = pd.concat([key, pd.DataFrame(values, index=key.index)], axis=1)
        groups = ["volatility" if k in AUDITED else "planted" for k in every]
        listed = pd.DataFrame({"name": list(every), "group": groups})
        splits = make_splits(self.panel.timestamps, TRAIN_SHARE, 0.15, 0)
        return TrainingData.cut(
            self.panel, features, listed, self.labels, self.manifest, splits
        )


def market(train_bars: int, n_symbols: int, seed: int) -> Market:
    """Simulate as many bars as give ``train_bars`` labelled bars of training."""
    rng = np.random.default_rng([seed, train_bars, 7])
    n_bars = int(np.ceil((train_bars + 7) / TRAIN_SHARE))
    log_volatility = persistent(rng, n_bars, n_symbols, 0.98)
    volatility = 0.012 * np.exp(0.4 * log_volatility)
    sector = rng.integers(0, 8, n_symbols)
    common = 0.5 * rng.normal(size=(n_bars, 1)) * rng.uniform(0.5, 1.5, n_symbols)
    common = common + 0.5 * rng.normal(size=(n_bars, 8))[:, sector]
    returns = volatility * (common + rng.standard_t(5, (n_bars, n_symbols)) / 1.3)
    close = 50 * np.exp(np.cumsum(returns, axis=0))
    gap = 0.6 * returns + 0.4 * volatility * rng.normal(size=returns.shape)
    opening = np.vstack([close[:1], close[:-1]]) * np.exp(gap)
    reach = volatility * np.abs(rng.normal(size=(2, *returns.shape)))
    high = np.maximum(opening, close) * np.exp(reach[0])
    low = np.minimum(opening, close) * np.exp(-reach[1])
    volume = np.exp(rng.normal(12, 0.5, returns.shape))
    values = np.stack([opening, high, low, close, volume], axis=-1).astype(np.float32)
    panel = Panel(
        tuple(f"S{k:03d}" for k in range(n_symbols)),
        pd.date_range("2015-01-01", periods=n_bars, freq="D").to_numpy("M8[ns]"),
        OHLCV,
        np.ascontiguousarray(values.swapaxes(0, 1)),
        np.ones((n_symbols, n_bars), dtype=bool),
    )
    labels, manifest = compute_labels(panel, parse_targets(TARGETS, "1d"), LABELS)
    return Market(panel, volatility, labels, manifest)


def leaks(made: Market, target: str, seed: int) -> dict[str, Matrix]:
    """Columns that see the future, by kind and strength, under innocent names."""
    rng = np.random.default_rng([seed, 11])
    label = made.label(target)
    normal = normal_ranks(label)
    close, opening = (made.panel.field(name).T for name in ("close", "open"))
    growth = np.vstack(
        [np.full((1, close.shape[1]), np.nan), np.diff(np.log(close), axis=0)]
    )
    bars = np.repeat(np.arange(len(close))[:, None], close.shape[1], axis=1)
    columns = {
        "label itself": 2 * label - 1,
        "label scaled, ranks only": np.sign(normal) * np.abs(normal) ** 3,
        **{f"label + noise IC {ic}": noisy(rng, normal, ic) for ic in (0.9, 0.5, 0.2)},
        "revised value": _revised(rng, growth),
        "next open": ahead(opening, 1) / close - 1,
        "centred window": centred(growth, 2),
        "centred window, one bar": centred(growth, 1),
        "by-product: best on the way": excursion(made, 5),
        "by-product: bars to hit": bars_to_hit(made, 5, label),
        "label of 2 % of the rows": np.where(
            rng.random(label.shape) < 0.02, label, growth
        ),
        "symbol mean over all rows": np.broadcast_to(
            np.nanmean(label, axis=0), label.shape
        ),
        "timestamp id": np.sqrt(bars),
        "row number": bars * close.shape[1] + np.arange(close.shape[1]),
        "row number, symbol major": bars + len(bars) * np.arange(close.shape[1]),
        "market of the next bar": np.repeat(
            bar_mean(label)[:, None], close.shape[1], axis=1
        ),
        "coded label": coded(rng, normal),
        "label, every 8th symbol": np.where(
            np.arange(close.shape[1]) % 8 == 0, normal, rng.normal(size=label.shape)
        ),
    }
    return {name: np.asarray(values, np.float64) for name, values in columns.items()}


def honest(
    made: Market, target: str, n_columns: int, seed: int
) -> dict[str, tuple[str, Matrix]]:
    """Columns as (kind, values): IC 0, .02, .05, .1 with the label, and volatility.

    A known part of the label is what an honest signal is; half of them are persistent.
    """
    rng = np.random.default_rng([seed, 13])
    label = made.label(target)
    normal = normal_ranks(label)
    shape = label.shape
    found = {}
    for number in range(n_columns):
        kind = ("IC 0", "IC 0.02", "IC 0.05", "IC 0.1", "volatility")[number % 5]
        if kind == "volatility":
            how = ("close", "move", "range")[number % 3]
            spread = spread_of(made.panel, how, int(rng.integers(5, 90)))
            noise = rng.uniform(0.0, 0.6) * rng.normal(size=shape)
            values = np.log(spread + 1e-9) + noise
        else:
            memory = 0.95 if number % 2 else 0.0
            noise = persistent(rng, shape[0], shape[1], memory)
            values = noisy(rng, normal, float(kind[3:]), noise)
        found[f"honest_{number:04d}"] = (kind, values)
    return found


def noisy(
    rng: np.random.Generator, normal: Matrix, ic: float, noise: Matrix | None = None
) -> Matrix:
    """Noise with Spearman correlation ``ic`` to normal values (6/π asin(ρ/2))."""
    rho = 2 * np.sin(np.pi * ic / 6)
    other = rng.normal(size=normal.shape) if noise is None else noise
    return np.asarray(rho * np.nan_to_num(normal) + np.sqrt(1 - rho**2) * other)


def normal_ranks(label: Matrix) -> Matrix:
    """Normal scores within the bar, ties broken at random but reproducibly."""
    from scipy.special import ndtri

    frame = pd.DataFrame(
        label + 1e-9 * np.random.default_rng(0).normal(size=label.shape)
    )
    ranks = frame.rank(axis=1)
    count = ranks.count(axis=1)
    return np.asarray(ndtri(ranks.sub(0.5).div(count, axis=0).to_numpy()))


def coded(rng: np.random.Generator, normal: Matrix) -> Matrix:
    """A code without order for the six classes of the label: no rank IC, all of it."""
    from scipy.special import ndtr

    sixth = np.clip(np.floor(6 * ndtr(np.nan_to_num(normal))), 0, 5).astype(int)
    code = np.array([2, 5, 0, 4, 1, 3])[sixth]
    return np.asarray(code + 0.2 * rng.normal(size=normal.shape))


def bar_mean(label: Matrix) -> Matrix:
    """Mean label of each bar; NaN where none is known."""
    known = np.isfinite(label).sum(axis=1)
    total = np.nansum(label, axis=1)
    return np.where(known > 0, total / np.maximum(known, 1), np.nan)


def ahead(values: Matrix, bars: int) -> Matrix:
    """Values ``bars`` later; NaN at the end."""
    result = np.full(values.shape, np.nan)
    result[:-bars] = values[bars:]
    return result


def centred(growth: Matrix, reach: int) -> Matrix:
    """Mean over the bars t - reach to t + reach."""
    frame = pd.DataFrame(growth).rolling(2 * reach + 1, center=True).mean()
    return frame.to_numpy()


def excursion(made: Market, horizon: int) -> Matrix:
    """Return from the entry to the highest high on the way."""
    high, close = (made.panel.field(name).T for name in ("high", "close"))
    later = [ahead(high, LAG + step) for step in range(1, horizon + 1)]
    return np.asarray(np.max(later, axis=0) / ahead(close, LAG))


def bars_to_hit(made: Market, horizon: int, label: Matrix) -> Matrix:
    """Bars until the close has moved by one volatility of the horizon.

    For classes it is their own by-product: the barrier is half as far, and a label of 0
    is a barrier that was not hit.
    """
    classes = len(np.unique(label[np.isfinite(label)])) <= 3
    close = np.log(made.panel.field("close").T)
    width = (0.5 if classes else 1.0) * made.volatility * np.sqrt(horizon)
    hit = np.full(close.shape, float(horizon + 1))
    for step in range(horizon, 0, -1):
        move = np.abs(ahead(close, LAG + step) - ahead(close, LAG))
        hit = np.where(move >= width, float(step), hit)
    return np.where(classes & (label == 0), float(horizon + 1), hit)


def persistent(
    rng: np.random.Generator, n_bars: int, n_symbols: int, memory: float
) -> Matrix:
    """Stationary AR(1) per symbol with unit variance."""
    values = rng.normal(size=(n_bars, n_symbols))
    for bar in range(1, n_bars):
        values[bar] *= np.sqrt(1 - memory**2)
        values[bar] += memory * values[bar - 1]
    return values


def _revised(rng: np.random.Generator, growth: Matrix) -> Matrix:
    """A quarterly figure that carries, from its period on, a revision made later.

    The revision is announced five bars later, and prices have moved with it by then.
    """
    later = sum(np.nan_to_num(ahead(growth, step)) for step in range(2, 7))
    scaled = later / np.nanstd(later)
    return np.asarray(0.5 * scaled + rng.normal(size=growth.shape))


def audited_volatility(panel: Panel) -> dict[str, Matrix]:
    """Volatility of closes over 20 and 60 bars, and of the range over 20."""
    return {
        "vol_20": spread_of(panel, "close", 20),
        "vol_60": spread_of(panel, "close", 60),
        "parkinson_20": spread_of(panel, "range", 20),
    }


def spread_of(panel: Panel, kind: str, window: int) -> Matrix:
    """Volatility over trailing bars, from closes, moves or ranges, shape (T, S)."""
    high, low, close = (panel.field(name).T for name in ("high", "low", "close"))
    growth = pd.DataFrame(np.log(close.astype(np.float64))).diff()
    if kind == "close":
        return growth.rolling(window, min_periods=2).std().to_numpy()
    size = growth.abs() if kind == "move" else pd.DataFrame(np.log(high / low))
    mean = (size**2).rolling(window, min_periods=2).mean()
    return np.asarray(np.sqrt(mean.to_numpy()))
