"""What moves simulated symbols besides the signal: traits, common and own shocks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ranking_pipeline.bars.config import MarketConfig
from ranking_pipeline.bars.market_clock import BarClock

Array = npt.NDArray[np.float64]

# Daily sizes; shorter bars scale them by the square root of time.
_SYMBOL_VOLATILITY = 0.0120
_MARKET_VOLATILITY = 0.0080
_SECTOR_VOLATILITY = 0.0040
# Own shocks are larger than the volatility that scales the signal.
_OWN_SHOCK = 1.28
_OVERNIGHT_SHARE = 0.15
# The part of a gap that the same session takes back.
_GAP_FADE = 0.6
_TAIL_DEGREES = 4
_LARGEST_SHOCK = 7.0
# Variance of a night as a share of that of the session before it.
_NIGHT_VARIANCE = 0.25


@dataclass(frozen=True)
class Traits:
    """Constants of the symbols, each of shape (S,); bars are positions."""

    symbols: npt.NDArray[np.str_]
    sector: npt.NDArray[np.int64]
    loading: Array
    volatility: Array
    beta: Array
    log_volume: Array
    first_price: Array
    first_bar: npt.NDArray[np.int64]
    last_bar: npt.NDArray[np.int64]


def draw_traits(config: MarketConfig, seed: int) -> Traits:
    """Draw the constants of a market; see :class:`Traits`."""
    rng = np.random.default_rng([seed, 1])
    n = config.n_symbols
    scale = _time_scale(config)
    reversed_ones = _spread(n, config.reversed_symbols)
    loading = np.ones(n)
    loading[reversed_ones] = config.reversed_loading
    late, ended = _short_lived(config, reversed_ones, rng)
    first, last = np.zeros(n, np.int64), np.full(n, config.n_bars - 1)
    bars = config.n_bars
    first[late] = rng.integers(bars // 10, max(bars // 2, bars // 10 + 1), len(late))
    last[ended] = rng.integers(
        bars // 2, max(bars * 9 // 10, bars // 2 + 1), len(ended)
    )
    return Traits(
        symbols=np.array([f"SIM{i:0{max(3, len(str(n - 1)))}d}" for i in range(n)]),
        sector=np.arange(n) % config.n_sectors,
        loading=loading,
        volatility=scale * _SYMBOL_VOLATILITY * np.exp(rng.normal(0.0, 0.25, n)),
        beta=rng.normal(1.0, 0.25, n),
        log_volume=rng.normal(13.0, 1.0, n) + 2.0 * np.log(scale),
        first_price=50.0 * np.exp(rng.normal(0.0, 0.6, n)),
        first_bar=first,
        last_bar=last,
    )


def _time_scale(config: MarketConfig) -> float:
    return 1.0 if config.interval == "1d" else float(config.bars_per_session**-0.5)


def _spread(n: int, count: int) -> npt.NDArray[np.int64]:
    """Evenly spaced positions, which fall into different sectors."""
    return ((np.arange(count) + 0.5) * n / max(count, 1)).astype(np.int64)


def _short_lived(
    config: MarketConfig, taken: npt.NDArray[np.int64], rng: np.random.Generator
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Symbols that list late and symbols that end early; never the reversed ones."""
    free = rng.permutation(np.setdiff1d(np.arange(config.n_symbols), taken))
    cut = config.late_listings
    return free[:cut], free[cut : cut + config.delistings]


class Shocks:
    """Returns without the signal: market, sectors and own shocks, in clusters.

    Attributes
    ----------
    night : ndarray, shape (T,)
        Factor of the gap before each bar; 1 where no night lies before it.
    unrest : ndarray, shape (T,)
        Factor of the volatility within each bar, of unit mean square over a session:
        large at the open and the close, small at noon (Wood, McInish and Ord 1985).
    log_activity : ndarray, shape (T,)
        Logarithm of the factor of its volume, which has unit mean and the same shape.
    """

    def __init__(self, config: MarketConfig, traits: Traits, clock: BarClock) -> None:
        self._traits, self._config = traits, config
        self._market_level = 0.0
        over_night = np.sqrt(
            _NIGHT_VARIANCE / _OVERNIGHT_SHARE * config.bars_per_session
        )
        self.night = np.where(clock.opens_session, over_night, 1.0)
        self.unrest = np.ones(config.n_bars)
        self.log_activity = np.zeros(config.n_bars)
        if config.interval != "1d":
            # With u in [-1, 1], 1 + u^2 has the mean square 28/15, 1 + 2 u^2 the mean
            # 5/3.
            self.unrest = (1.0 + clock.distance**2) / np.sqrt(28.0 / 15.0)
            self.log_activity = np.log((1.0 + 2.0 * clock.distance**2) / (5.0 / 3.0))
        self._variance = np.ones(config.n_symbols)
        self._scale = _time_scale(config)

    def draw(self, bar: int, rng: np.random.Generator) -> tuple[Array, Array]:
        """Log returns of bar ``bar`` before and after its open, each of shape (S,)."""
        config, traits, n = self._config, self._traits, self._config.n_symbols
        self._market_level = 0.97 * self._market_level + rng.normal(0.0, 0.08)
        market = self._scale * _MARKET_VOLATILITY * np.exp(self._market_level)
        sector = (
            self._scale * _SECTOR_VOLATILITY * rng.normal(size=(2, config.n_sectors))
        )
        common = market * _student(rng, (2, 1)) * traits.beta + sector[:, traits.sector]
        own = _student(rng, (2, n))
        kept = _OVERNIGHT_SHARE * (1.0 - _GAP_FADE) ** 2
        weight = np.sqrt([[_OVERNIGHT_SHARE], [1.0 - kept]])
        size = _OWN_SHOCK * np.sqrt(self._variance) * traits.volatility
        total = weight * (common + own * size)
        self._cluster(own.mean(axis=0) * np.sqrt(2.0))
        within = total[1] * self.unrest[bar]
        return total[0] * self.night[bar], within - _GAP_FADE * total[0]

    def _cluster(self, shock: Array) -> None:
        """GARCH(1, 1) with unit mean (Bollerslev 1986), kept within bounds."""
        variance = 0.03 + self._variance * (0.09 * shock**2 + 0.87)
        self._variance = np.clip(variance, 0.35, 3.5)


def _student(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Student-t shocks of unit variance, cut where no real bar was ever seen."""
    unit = rng.standard_t(_TAIL_DEGREES, shape) * np.sqrt(1.0 - 2.0 / _TAIL_DEGREES)
    return np.asarray(np.clip(unit, -_LARGEST_SHOCK, _LARGEST_SHOCK))
