"""The simulated panel of the loop's benchmarks: late listings, holes, one target."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ranking_pipeline.row_ranks import percentile_ranks


@dataclass(frozen=True)
class LoopPanel:
    """Bars and what is learned of them.

    Attributes
    ----------
    ohlcv : ndarray of float32, shape (S, T, 5)
        NaN before a listing and in the holes.
    targets : ndarray of float64, shape (T, S)
        Percentile of the next return within its bar; NaN where there is none.
    """

    ohlcv: npt.NDArray[np.float32]
    targets: npt.NDArray[np.float64]


def simulate_panel(
    n_symbols: int = 500, n_bars: int = 1000, length: int = 64, seed: int = 0
) -> LoopPanel:
    """Random walks with ``n_bars`` decision bars, on which 82 % of windows are complete.

    ``length - 1`` bars stand before the decisions and one after them. Two names in five
    list late, in the first 70 % of the bars, and half of all names have one hole of
    three bars, which breaks ``length + 2`` windows.
    """
    rng = np.random.default_rng(seed)
    n_bars += length
    steps = rng.normal(0, 0.02, (n_symbols, n_bars))
    close = 50 * np.exp(np.cumsum(steps, axis=1))
    opening = close * np.exp(rng.normal(0, 0.005, close.shape))
    high = np.maximum(opening, close) * (1 + rng.uniform(0, 0.01, close.shape))
    low = np.minimum(opening, close) * (1 - rng.uniform(0, 0.01, close.shape))
    volume = np.exp(rng.normal(12, 0.5, close.shape))
    ohlcv = np.stack([opening, high, low, close, volume], axis=2).astype(np.float32)
    for symbol in range(n_symbols):
        if rng.random() < 0.4:
            ohlcv[symbol, : rng.integers(n_bars * 7 // 10)] = np.nan
        if rng.random() < 0.5:
            hole = rng.integers(n_bars - 3)
            ohlcv[symbol, hole : hole + 3] = np.nan
    price = ohlcv[:, :, 3].astype(np.float64)
    payoff = np.full((n_bars, n_symbols), np.nan)
    payoff[:-1] = (price[:, 1:] / price[:, :-1] - 1).T
    return LoopPanel(ohlcv, percentile_ranks(payoff))
