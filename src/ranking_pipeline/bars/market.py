"""A simulated market with a known signal: deterministic, unruly as a real one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.bars.config import MarketConfig
from ranking_pipeline.bars.defects import plant_defects
from ranking_pipeline.bars.planted_signal import SIGNAL_BARS, Signal, planted_score
from ranking_pipeline.bars.shocks import Shocks, Traits, draw_traits
from ranking_pipeline.bars.source import SIMULATED

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

SECTOR_NAMES = (
    "Communication Services",
    "Consumer Discretionary",
    "Consumer Staples",
    "Energy",
    "Financials",
    "Health Care",
    "Industrials",
    "Information Technology",
    "Materials",
    "Real Estate",
    "Utilities",
)
_SESSION_OPEN = pd.Timedelta(hours=14, minutes=30)
TRUTH_COLUMNS = ("timestamp", "symbol", "oracle_score", "loading")


@dataclass(frozen=True)
class SimulatedMarket:
    """What the simulator gives.

    Attributes
    ----------
    raw : DataFrame
        Raw bars as a reader gives them, stamped with the START of the bar in UTC.
    sectors : DataFrame
        symbol, sector.
    truth : DataFrame
        timestamp (END of the bar, UTC), symbol, oracle_score, loading; sorted by
        (timestamp, symbol), one row where a symbol has a bar and enough history.
    planted : mapping
        Rows damaged on purpose, by the rule that must find them.
    """

    raw: pd.DataFrame
    sectors: pd.DataFrame
    truth: pd.DataFrame
    planted: Mapping[str, int]


def simulate_market(
    config: MarketConfig, seed: int, entry_lag_bars: int
) -> SimulatedMarket:
    """Simulate bars whose returns carry a score known before.

    The score of bar t is known at its close and is paid in the return from the close of
    t + lag to that of t + lag + 1: ``strength * volatility * loading * score``. Nothing
    drawn for a bar depends on a later one.

    Parameters
    ----------
    config
        Sizes, strength and weights.
    seed
        The same seed gives the same bars, bit for bit.
    entry_lag_bars
        Bars between the decision and the entry.
    """
    traits = draw_traits(config, seed)
    listed = _listed(traits, config.n_bars)
    fields, score = _simulate_paths(config, traits, listed, seed, entry_lag_bars)
    rng = np.random.default_rng([seed, 3])
    present = listed & (rng.random(listed.shape) >= config.missing_share)
    starts, ends = bar_clock(config)
    raw = _raw_bars(fields, present, starts, traits)
    planted: Mapping[str, int] = {}
    if config.planted_defects:
        raw, planted = plant_defects(raw, np.random.default_rng([seed, 4]))
    known = present & (
        np.arange(config.n_bars)[:, None] - traits.first_bar >= SIGNAL_BARS
    )
    return SimulatedMarket(
        raw, _sectors(traits), _truth(score, known, ends, traits), planted
    )


def empty_truth() -> pd.DataFrame:
    """Return the truth of bars that were not simulated: its columns without rows."""
    return pd.DataFrame(
        {
            "timestamp": pd.DatetimeIndex([], dtype="datetime64[ns, UTC]"),
            "symbol": pd.Series([], dtype=str),
            "oracle_score": np.empty(0),
            "loading": np.empty(0),
        }
    )


def restrict_truth(truth: pd.DataFrame, bars: pd.DataFrame) -> pd.DataFrame:
    """Keep the truth of the bars that passed the checks and were asked for."""
    key = ["timestamp", "symbol"]
    kept = pd.MultiIndex.from_frame(bars[key].astype({"symbol": "str"}))
    own = pd.MultiIndex.from_frame(truth[key].astype({"symbol": "str"}))
    return truth[own.isin(kept)].reset_index(drop=True)


def bar_clock(config: MarketConfig) -> tuple[pd.DatetimeIndex, pd.DatetimeIndex]:
    """Start and end of each bar in UTC: business days, or sessions from 14:30."""
    if config.interval == "1d":
        starts = _business_days(config, config.n_bars)
        return starts, starts + pd.Timedelta(days=1)
    sessions = -(-config.n_bars // config.bars_per_session)
    days = _business_days(config, sessions)
    five = pd.Timedelta(minutes=5)
    clock = _SESSION_OPEN + five * np.arange(config.bars_per_session)
    starts = days.repeat(config.bars_per_session) + np.tile(clock, sessions)
    starts = pd.DatetimeIndex(starts[: config.n_bars])
    return starts, starts + five


def _business_days(config: MarketConfig, periods: int) -> pd.DatetimeIndex:
    days = pd.bdate_range(config.start_date, periods=periods, tz="UTC")
    return pd.DatetimeIndex(days.as_unit("ns"))


def _listed(traits: Traits, n_bars: int) -> Mask:
    bars = np.arange(n_bars)[:, None]
    mask: Mask = (bars >= traits.first_bar) & (bars <= traits.last_bar)
    return mask


def _simulate_paths(
    config: MarketConfig, traits: Traits, listed: Mask, seed: int, lag: int
) -> tuple[dict[str, Array], Array]:
    """Bars and score of every symbol and bar, each of shape (T, S)."""
    rng = np.random.default_rng([seed, 2])
    shape = listed.shape
    gaps, returns, score = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    reach = np.zeros((*shape, 2))
    log_volume = np.tile(traits.log_volume, (shape[0], 1))
    shocks = Shocks(config, traits, rng)
    surprise = np.zeros(shape[1])
    for bar in range(shape[0]):
        overnight, intraday = shocks.draw(bar)
        surprise = 0.6 * surprise + rng.normal(0.0, 0.35, shape[1])
        span = np.abs(rng.normal(0.0, 0.4, (shape[1], 2)))
        paid = bar - 1 - lag
        if paid >= 0:
            premium = config.strength * traits.loading * score[paid]
            intraday = intraday + premium * traits.volatility
        here = listed[bar]
        gaps[bar] = np.where(here, overnight, 0.0)
        returns[bar] = np.where(here, overnight + intraday, 0.0)
        relative = np.abs(returns[bar]) / traits.volatility
        log_volume[bar, here] += (surprise + 0.3 * relative)[here]
        reach[bar] = span * traits.volatility[:, None]
        history = slice(max(0, bar - SIGNAL_BARS + 1), bar + 1)
        score[bar] = planted_score(
            Signal(gaps[bar], returns[history], log_volume[history], here),
            traits.volatility,
            config.signal_weights,
        )
    return _prices(traits, gaps, returns, reach, log_volume), score


def _prices(
    traits: Traits, gaps: Array, returns: Array, reach: Array, log_volume: Array
) -> dict[str, Array]:
    close = traits.first_price * np.exp(np.cumsum(returns, axis=0))
    open_ = close * np.exp(gaps - returns)
    high = np.maximum(open_, close) * np.exp(reach[..., 0])
    low = np.minimum(open_, close) * np.exp(-reach[..., 1])
    prices = {"open": open_, "high": high, "low": low, "close": close}
    # Rounding is monotone, so that high and low still bound open and close.
    fields = {name: np.round(price, 4) for name, price in prices.items()}
    return fields | {"volume": np.round(np.exp(log_volume))}


def _raw_bars(
    fields: Mapping[str, Array],
    present: Mask,
    starts: pd.DatetimeIndex,
    traits: Traits,
) -> pd.DataFrame:
    symbol, bar = np.nonzero(present.T)
    raw = pd.DataFrame({"symbol": traits.symbols[symbol], "timestamp": starts[bar]})
    for name, values in fields.items():
        raw[name] = values[bar, symbol]
    raw["symbol"] = raw["symbol"].astype("category")
    raw["source_file"] = pd.Categorical([SIMULATED] * len(raw))
    raw["source_row"] = np.arange(len(raw), dtype=np.int64)
    return raw


def _sectors(traits: Traits) -> pd.DataFrame:
    count = int(traits.sector.max()) + 1
    extra = (f"Sector {i + 1}" for i in range(len(SECTOR_NAMES), count))
    names = np.array([*SECTOR_NAMES[:count], *extra])
    return pd.DataFrame({"symbol": traits.symbols, "sector": names[traits.sector]})


def _truth(
    score: Array, known: Mask, ends: pd.DatetimeIndex, traits: Traits
) -> pd.DataFrame:
    bar, symbol = np.nonzero(known)
    frame = pd.DataFrame({"timestamp": ends[bar], "symbol": traits.symbols[symbol]})
    frame["symbol"] = frame["symbol"].astype("category")
    frame["oracle_score"] = (score * traits.loading)[bar, symbol]
    frame["loading"] = traits.loading[symbol]
    return frame
