"""Factors of the shape of single bars: gap, body, shadows, range."""

import numpy as np

from ranking_pipeline.features.registry import factor
from ranking_pipeline.features.series import Bars
from ranking_pipeline.features.windows import Array, mean

GROUP = "bar shape"
CANDLE = "Nison (1991); Yang et al. (2020), Alpha158"
OVERNIGHT = "Lou, Polk and Skouras (2019)"


@factor(
    "gap_1",
    group=GROUP,
    formula="open[t] / close[t-1] - 1",
    lookback_bars=1,
    inputs=("open", "close"),
    source=OVERNIGHT,
)
def gap(bars: Bars) -> Array:
    """Overnight gap."""
    return bars.gap


@factor(
    "body_1",
    group=GROUP,
    formula="close / open - 1",
    inputs=("open", "close"),
    source=CANDLE,
)
def body(bars: Bars) -> Array:
    """Return inside the bar."""
    return bars.body


@factor(
    "upper_shadow_1",
    group=GROUP,
    formula="(high - max(open, close)) / open",
    inputs=("open", "high", "close"),
    source=CANDLE,
)
def upper_shadow(bars: Bars) -> Array:
    """How far the high lies above the body."""
    return (bars.high - np.maximum(bars.open, bars.close)) / bars.open


@factor(
    "lower_shadow_1",
    group=GROUP,
    formula="(min(open, close) - low) / open",
    inputs=("open", "low", "close"),
    source=CANDLE,
)
def lower_shadow(bars: Bars) -> Array:
    """How far the low lies below the body."""
    return (np.minimum(bars.open, bars.close) - bars.low) / bars.open


@factor(
    "range_1",
    group=GROUP,
    formula="ln(high / low)",
    inputs=("high", "low"),
    source=CANDLE,
)
def bar_range(bars: Bars) -> Array:
    """Height of the bar."""
    return bars.log_range


@factor(
    "close_location_1",
    group=GROUP,
    formula="(2 close - high - low) / (high - low); unknown where high = low",
    inputs=("high", "low", "close"),
    source="Chaikin; Yang et al. (2020), Alpha158",
)
def close_location(bars: Bars) -> Array:
    """Where the close lies between low (-1) and high (1)."""
    return (2.0 * bars.close - bars.high - bars.low) / (bars.high - bars.low)


@factor(
    "gap_mean_{w}",
    group=GROUP,
    formula="mean of gap_1 over {w} bars",
    windows=(5, 20),
    inputs=("open", "close"),
    source=OVERNIGHT,
)
def gap_mean(bars: Bars, w: int) -> Array:
    """Mean overnight gap."""
    return mean(bars.windows("gap"), w)


@factor(
    "body_mean_{w}",
    group=GROUP,
    formula="mean of body_1 over {w} bars",
    windows=(5, 20),
    lookback_bars=-1,
    inputs=("open", "close"),
    source=OVERNIGHT,
)
def body_mean(bars: Bars, w: int) -> Array:
    """Mean return inside the bar."""
    return mean(bars.windows("body"), w)


@factor(
    "range_surprise_{w}",
    group=GROUP,
    formula="range_1 - mean of range_1 over the {w} bars before",
    windows=(20,),
    inputs=("high", "low"),
    source="Yang et al. (2020), Alpha158",
)
def range_surprise(bars: Bars, w: int) -> Array:
    """Height of the bar against what was usual."""
    return bars.log_range - bars.before(mean(bars.windows("log_range"), w))
