"""Factors of the shape of single bars: gap, body, shadows, range."""

import numpy as np

from ranking_pipeline.features.registry import CORE, factor
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
    sets=CORE,
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
    sets=CORE,
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
    sets=CORE,
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
    sets=CORE,
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
    sets=CORE,
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
    sets=CORE,
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
    sets=CORE,
)
def gap_mean(bars: Bars, w: int) -> Array:
    """Mean overnight gap."""
    return mean(bars.sums("gap"), w)


@factor(
    "body_mean_{w}",
    group=GROUP,
    formula="mean of body_1 over {w} bars",
    windows=(5, 20),
    lookback_bars=-1,
    inputs=("open", "close"),
    source=OVERNIGHT,
    sets=CORE,
)
def body_mean(bars: Bars, w: int) -> Array:
    """Mean return inside the bar."""
    return mean(bars.sums("body"), w)


@factor(
    "range_surprise_{w}",
    group=GROUP,
    formula="range_1 - mean of range_1 over the {w} bars before",
    windows=(20,),
    inputs=("high", "low"),
    source="Yang et al. (2020), Alpha158",
    sets=CORE,
)
def range_surprise(bars: Bars, w: int) -> Array:
    """Height of the bar against what was usual."""
    return bars.log_range - bars.before(mean(bars.sums("log_range"), w))


@factor(
    "relative_range_1",
    group=GROUP,
    formula="(high - low) / open",
    inputs=("open", "high", "low"),
    source=CANDLE,
)
def relative_range(bars: Bars) -> Array:
    """Height of the bar in units of the open."""
    return (bars.high - bars.low) / bars.open


@factor(
    "body_to_range_1",
    group=GROUP,
    formula="(close - open) / (high - low); unknown where high = low",
    inputs=("open", "high", "low", "close"),
    source=CANDLE,
)
def body_to_range(bars: Bars) -> Array:
    """Body as a part of the bar."""
    return (bars.close - bars.open) / (bars.high - bars.low)


@factor(
    "upper_shadow_to_range_1",
    group=GROUP,
    formula="(high - max(open, close)) / (high - low); unknown where high = low",
    inputs=("open", "high", "low", "close"),
    source=CANDLE,
)
def upper_shadow_to_range(bars: Bars) -> Array:
    """Upper shadow as a part of the bar."""
    return (bars.high - np.maximum(bars.open, bars.close)) / (bars.high - bars.low)


@factor(
    "lower_shadow_to_range_1",
    group=GROUP,
    formula="(min(open, close) - low) / (high - low); unknown where high = low",
    inputs=("open", "high", "low", "close"),
    source=CANDLE,
)
def lower_shadow_to_range(bars: Bars) -> Array:
    """Lower shadow as a part of the bar."""
    return (np.minimum(bars.open, bars.close) - bars.low) / (bars.high - bars.low)


@factor(
    "relative_close_location_1",
    group=GROUP,
    formula="(2 close - high - low) / open",
    inputs=("open", "high", "low", "close"),
    source=CANDLE,
)
def relative_close_location(bars: Bars) -> Array:
    """Distance of the close from the middle of the bar, in units of the open."""
    return (2.0 * bars.close - bars.high - bars.low) / bars.open


@factor(
    "open_to_close_1",
    group=GROUP,
    formula="open / close",
    inputs=("open", "close"),
    source=CANDLE,
)
def open_to_close(bars: Bars) -> Array:
    """Open in units of the close."""
    return bars.open / bars.close


@factor(
    "high_to_close_1",
    group=GROUP,
    formula="high / close",
    inputs=("high", "close"),
    source=CANDLE,
)
def high_to_close(bars: Bars) -> Array:
    """High in units of the close."""
    return bars.high / bars.close


@factor(
    "low_to_close_1",
    group=GROUP,
    formula="low / close",
    inputs=("low", "close"),
    source=CANDLE,
)
def low_to_close(bars: Bars) -> Array:
    """Low in units of the close."""
    return bars.low / bars.close


@factor(
    "typical_to_close_1",
    group=GROUP,
    formula="(high + low + close) / (3 close)",
    inputs=("high", "low", "close"),
    source=CANDLE,
)
def typical_to_close(bars: Bars) -> Array:
    """Typical price in units of the close; stands in for the average price paid."""
    return (bars.high + bars.low + bars.close) / (3.0 * bars.close)
