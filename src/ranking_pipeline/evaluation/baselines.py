"""Baselines: scores that need no learning, and the oracle of a simulated market."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.panel import Panel, to_cross_sections

Matrix = npt.NDArray[np.float64]

BASELINES = (
    "random",
    "reversal_1",
    "reversal_5",
    "momentum_20",
    "momentum_250_20",
    "low_volatility_60",
)
ORACLE = "oracle"
VOLATILITY_BARS = 60
# default_rng(0) and default_rng([0, 0]) are one stream: a market simulated with the
# same seed would be predicted perfectly, so this stream has a number of its own
RANDOM_STREAM = 0x52414E44


def baseline_scores(panel: Panel, seed: int) -> dict[str, Matrix]:
    """All baseline scores of a panel.

    Parameters
    ----------
    panel : Panel
    seed : int
        Of the random score.

    Returns
    -------
    dict of str to ndarray of float64, shape (T, S)
        Higher means preferred. The row of bar t uses bars up to t only. NaN where the
        cell is not tradable or the score's history is incomplete.
    """
    close = panel.cross_sections("close").astype(np.float64)
    returns = _change(close, 0, 1)
    scores = {
        "random": _random(seed, close.shape),
        "reversal_1": -returns,
        "reversal_5": -_change(close, 0, 5),
        "momentum_20": _change(close, 0, 20),
        "momentum_250_20": _change(close, 20, 250),
        "low_volatility_60": -trailing_deviation(returns, VOLATILITY_BARS),
    }
    tradable = panel.tradable.T
    return {name: np.where(tradable, score, np.nan) for name, score in scores.items()}


def oracle_scores(panel: Panel, market_truth: pd.DataFrame | None) -> Matrix | None:
    """Score that the simulator planted, shape (T, S); None for real bars.

    Parameters
    ----------
    panel : Panel
    market_truth : DataFrame or None
        Columns timestamp, symbol, oracle_score.
    """
    if market_truth is None or market_truth.empty:
        return None
    bars = panel.bar_positions(naive_utc(market_truth["timestamp"]))
    columns = panel.symbol_positions(market_truth["symbol"].to_numpy(dtype=object))
    values = market_truth["oracle_score"].to_numpy(dtype=np.float64)
    shape = (panel.n_bars, panel.n_symbols)
    matrix = to_cross_sections(values, bars, columns, shape)
    return np.where(panel.tradable.T, matrix, np.nan)


def baseline_tables(
    panel: Panel, targets: tuple[str, ...], first_bar: int, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Baselines as rows of the tables ``predictions`` and ``models``.

    Parameters
    ----------
    panel : Panel
    targets : tuple of str
        A baseline gives every target the same score.
    first_bar : int
        First bar to list.
    seed : int

    Returns
    -------
    predictions : DataFrame
        timestamp, symbol, target, model_id, score; cells with a score only.
    models : DataFrame
        model_id, target, family ("baseline"), route, symbol.
    """
    scores = baseline_scores(panel, seed)
    stamps = pd.DatetimeIndex(panel.timestamps).tz_localize("UTC")
    symbols = np.array(panel.symbols, dtype=object)
    frames = []
    for name, matrix in scores.items():
        bars, columns = np.nonzero(np.isfinite(matrix[first_bar:]))
        bars = bars + first_bar
        base = pd.DataFrame({"timestamp": stamps[bars], "symbol": symbols[columns]})
        base["score"] = matrix[bars, columns].astype(np.float32)
        frames += [base.assign(target=target, model_id=name) for target in targets]
    columns_wanted = ["timestamp", "symbol", "target", "model_id", "score"]
    key = ["timestamp", "symbol", "target", "model_id"]
    table = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
    table = table.reindex(columns=columns_wanted).sort_values(key, ignore_index=True)
    models = pd.DataFrame(
        [
            {
                "model_id": n,
                "target": t,
                "family": "baseline",
                "route": "",
                "symbol": "",
            }
            for n in BASELINES
            for t in targets
        ],
        columns=["model_id", "target", "family"],
    ).assign(route="", symbol="")
    return table, models


def forward_returns(panel: Panel, lag_bars: int, horizon_bars: int) -> Matrix:
    """Return from the close of t + lag to that of t + lag + H, shape (T, S)."""
    close = panel.cross_sections("close").astype(np.float64)
    result = np.full(close.shape, np.nan)
    end = lag_bars + horizon_bars
    if end < len(close):
        entry = close[lag_bars : len(close) - horizon_bars]
        result[: len(close) - end] = close[end:] / entry - 1.0
    return result


def trailing_deviation(returns: Matrix, bars: int) -> Matrix:
    """Deviation (standard, ddof 1) over the last ``bars`` bars, shape (T, S).

    NaN where fewer than two thirds of the window is known. The value depends on its
    window alone: sums are taken anew for each bar, in a fixed order.
    """
    known = np.isfinite(returns)
    filled = np.where(known, returns, 0.0)
    count = _window_sum(known.astype(np.float64), bars)
    mean = _window_sum(filled, bars) / np.maximum(count, 1)
    squares = np.zeros_like(filled)
    for back in range(min(bars, len(filled))):
        past = slice(0, len(filled) - back)
        gap = np.where(known[past], filled[past] - mean[back:], 0.0)
        squares[back:] += gap * gap
    enough = count >= np.ceil(bars * 2 / 3)
    variance = squares / np.maximum(count - 1, 1)
    return np.where(enough, np.sqrt(variance), np.nan)


def naive_utc(timestamps: pd.Series) -> npt.NDArray[np.datetime64]:
    """Timestamps of a frame as the naive UTC nanoseconds that a panel holds."""
    stamps = pd.DatetimeIndex(timestamps)
    if stamps.tz is not None:
        stamps = stamps.tz_convert("UTC").tz_localize(None)
    return np.asarray(stamps.to_numpy().astype("datetime64[ns]"))


def _random(seed: int, shape: tuple[int, ...]) -> Matrix:
    return np.random.default_rng([seed, RANDOM_STREAM]).standard_normal(shape)


def _window_sum(values: Matrix, bars: int) -> Matrix:
    total = np.zeros_like(values)
    for back in range(min(bars, len(values))):
        total[back:] += values[: len(values) - back]
    return total


def _change(close: Matrix, recent: int, distant: int) -> Matrix:
    """Return from ``distant`` bars ago to ``recent`` bars ago."""
    result = np.full(close.shape, np.nan)
    if distant < len(close):
        newer = close[distant - recent : len(close) - recent]
        result[distant:] = newer / close[: len(close) - distant] - 1.0
    return result
