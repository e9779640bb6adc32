"""A simulated market with a known signal: deterministic, unruly as a real one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.bars.calendar import Sessions
from ranking_pipeline.bars.config import MarketConfig
from ranking_pipeline.bars.defects import plant_defects
from ranking_pipeline.bars.market_clock import bar_clock
from ranking_pipeline.bars.planted_signal import SIGNAL_BARS, Signal, planted_score
from ranking_pipeline.bars.shocks import Shocks, Traits, draw_traits
from ranking_pipeline.bars.source import SIMULATED
from ranking_pipeline.panel import Panel

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
    sessions : Sessions or None
        Opens and closes of its dates; None for daily bars of plain business days.
    """

    raw: pd.DataFrame
    sectors: pd.DataFrame
    truth: pd.DataFrame
    planted: Mapping[str, int]
    sessions: Sessions | None


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
    traits, clock = draw_traits(config, seed), bar_clock(config)
    listed = _listed(traits, config.n_bars)
    fields, score = _simulate_paths(
        config, traits, Shocks(config, traits, clock), listed, seed, entry_lag_bars
    )
    rng = np.random.default_rng([seed, 3])
    present = listed & (rng.random(listed.shape) >= config.missing_share)
    raw = _raw_bars(fields, present, clock.starts, traits)
    planted: Mapping[str, int] = {}
    if config.planted_defects:
        raw, planted = plant_defects(raw, np.random.default_rng([seed, 4]))
    known = present & (
        np.arange(config.n_bars)[:, None] - traits.first_bar >= SIGNAL_BARS
    )
    truth = _truth(score, known, clock.ends, traits)
    return SimulatedMarket(raw, _sectors(traits), truth, planted, clock.sessions)


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


def restrict_truth(truth: pd.DataFrame, panel: Panel) -> pd.DataFrame:
    """Keep the truth of the bars that passed the checks and were asked for."""
    stamps = truth["timestamp"].dt.tz_convert("UTC").dt.tz_localize(None)
    bar, known_bar = _place(stamps.to_numpy("M8[ns]"), panel.timestamps)
    names = np.array(panel.symbols, dtype=str)
    symbol, known_symbol = _place(truth["symbol"].to_numpy(str), names)
    kept = known_bar & known_symbol
    kept[kept] = panel.present[symbol[kept], bar[kept]]
    return truth[kept].reset_index(drop=True)


def _place(
    wanted: npt.NDArray[np.generic], axis: npt.NDArray[np.generic]
) -> tuple[npt.NDArray[np.intp], Mask]:
    """Position of each value on a sorted axis, and whether it is there."""
    place = np.minimum(np.searchsorted(axis, wanted), len(axis) - 1)
    return place, axis[place] == wanted


def _listed(traits: Traits, n_bars: int) -> Mask:
    bars = np.arange(n_bars)[:, None]
    mask: Mask = (bars >= traits.first_bar) & (bars <= traits.last_bar)
    return mask


def _simulate_paths(
    config: MarketConfig,
    traits: Traits,
    shocks: Shocks,
    listed: Mask,
    seed: int,
    lag: int,
) -> tuple[dict[str, Array], Array]:
    """Bars and score of every symbol and bar, each of shape (T, S)."""
    rng = np.random.default_rng([seed, 2])
    shape = listed.shape
    gaps, returns, score = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    reach = np.zeros((*shape, 2))
    log_volume = np.tile(traits.log_volume, (shape[0], 1))
    surprise = np.zeros(shape[1])
    for bar in range(shape[0]):
        overnight, intraday = shocks.draw(bar, rng)
        surprise = 0.6 * surprise + rng.normal(0.0, 0.35, shape[1])
        span = np.abs(rng.normal(0.0, 0.4, (shape[1], 2)))
        paid = bar - 1 - lag
        if paid >= 0:
            premium = config.strength * traits.loading * score[paid]
            intraday = intraday + premium * traits.volatility
        here = listed[bar]
        gaps[bar] = np.where(here, overnight, 0.0)
        returns[bar] = np.where(here, overnight + intraday, 0.0)
        # What happened over night moves the price more than the volume.
        moved = np.where(here, overnight / shocks.night[bar] + intraday, 0.0)
        relative = np.abs(moved) / traits.volatility
        usual = shocks.log_activity[bar]
        log_volume[bar, here] += (surprise + 0.3 * relative)[here] + usual
        reach[bar] = span * traits.volatility[:, None] * shocks.unrest[bar]
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
