"""A small market of candidates: daily bars, dated sectors, and plain volatilities."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ranking_pipeline.panel import OHLCV, Panel
from ranking_pipeline.portfolio.candidates.config import CandidateSelectionConfig
from ranking_pipeline.portfolio.candidates.indicators import traded_closes
from ranking_pipeline.portfolio.candidates.months import TradeMonths
from ranking_pipeline.portfolio.candidates.scorecard import Mask, Volatilities

FIRST_DAY = np.datetime64("2019-10-01")
Array = npt.NDArray[np.float64]


def business_days(n_bars: int, first: np.datetime64 = FIRST_DAY) -> Array:
    """So many weekdays from ``first`` on."""
    return np.busday_offset(first, np.arange(n_bars), roll="forward")


def panel_of(
    closes: Array,
    sectors: npt.ArrayLike,
    names: tuple[str, ...] = ("Energy", "Utilities"),
    first: np.datetime64 = FIRST_DAY,
) -> Panel:
    """Give closes (S, T) their dates, and each symbol its sector."""
    n_symbols, n_bars = closes.shape
    values = np.repeat(closes[:, :, None], 5, axis=2).astype(np.float32)
    values[:, :, 4] = np.where(np.isfinite(closes), 1000.0, np.nan)
    codes = np.broadcast_to(
        np.array(sectors, dtype=np.int16).reshape(n_symbols, -1), closes.shape
    )
    days = business_days(n_bars, first)
    return Panel(
        symbols=tuple(f"S{i:03d}" for i in range(n_symbols)),
        timestamps=(days + np.timedelta64(1, "D")).astype("M8[ns]"),
        fields=OHLCV,
        values=values,
        tradable=np.isfinite(closes),
        trading_dates=days,
        sectors=codes.copy(),
        sector_names=names,
    )


def random_market(n_symbols: int = 26, n_bars: int = 200, seed: int = 3) -> Panel:
    """Random walks in two sectors, dealt out in turn."""
    rng = np.random.default_rng(seed)
    steps = rng.normal(0.0, 0.02, (n_symbols, n_bars))
    closes = 50.0 * np.exp(np.cumsum(steps, axis=1))
    return panel_of(closes, np.arange(n_symbols) % 2)


def plain_volatility(panel: Panel, months: TradeMonths, wanted: Mask) -> Volatilities:
    """Standard deviation of the last 20 returns; none under five."""
    found = Volatilities.unknown(wanted.shape)
    closes = traded_closes(panel)
    for month, symbol in np.argwhere(wanted):
        seen = closes[symbol, : months.bars[month] + 1]
        seen = seen[np.isfinite(seen)][-21:]
        if len(seen) > 5:
            cell = month, symbol
            found.volatility[cell] = np.std(seen[1:] / seen[:-1] - 1.0)
            found.source[cell] = "ewma"
            found.n_returns[cell] = len(seen) - 1
    return found


def config_of(shipped: dict[str, Any], **changes: Any) -> CandidateSelectionConfig:
    """The shipped section with windows that fit a small market."""
    small = {
        "sector_windows": {
            "energy": {"moving_average_bars": 20, "momentum_bars": 30},
            "utilities": {"moving_average_bars": 30, "momentum_bars": 40},
        }
    }
    section = {**shipped["candidate_selection"], **small, **changes}
    return CandidateSelectionConfig.model_validate(section)
