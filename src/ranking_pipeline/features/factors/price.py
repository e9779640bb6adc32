"""Factors of the course of the close: returns, momentum, trend, place in its range."""

from ranking_pipeline.features.registry import CORE, factor
from ranking_pipeline.features.series import Bars
from ranking_pipeline.features.sets import ALPHA158_WINDOWS
from ranking_pipeline.features.windows import (
    Array,
    correlation,
    fitted,
    lag,
    mean,
    slope,
)

ALPHA158 = "Yang et al. (2020), Alpha158"
MOMENTUM = "Jegadeesh and Titman (1993)"
HIGHS = "George and Hwang (2004)"


@factor(
    "ret_{w}",
    group="return",
    formula="close[t] / close[t-{w}] - 1",
    windows=(1, 2, 5, 10, 20, 60, 120),
    inputs=("close",),
    source=MOMENTUM,
    sets=CORE,
)
def simple_return(bars: Bars, w: int) -> Array:
    """Return over w bars."""
    return bars.close / lag(bars.close, w) - 1.0


def _skipped(bars: Bars, newest: int, oldest: int) -> Array:
    return lag(bars.close, newest) / lag(bars.close, oldest) - 1.0


@factor(
    "momentum_60_5",
    group="momentum",
    formula="close[t-5] / close[t-60] - 1",
    lookback_bars=60,
    inputs=("close",),
    source=MOMENTUM,
    sets=CORE,
)
def momentum_60_5(bars: Bars) -> Array:
    """Three months without the last week."""
    return _skipped(bars, 5, 60)


@factor(
    "momentum_120_20",
    group="momentum",
    formula="close[t-20] / close[t-120] - 1",
    lookback_bars=120,
    inputs=("close",),
    source=MOMENTUM,
    sets=CORE,
)
def momentum_120_20(bars: Bars) -> Array:
    """Six months without the last one."""
    return _skipped(bars, 20, 120)


@factor(
    "momentum_250_20",
    group="momentum",
    formula="close[t-20] / close[t-250] - 1",
    lookback_bars=250,
    inputs=("close",),
    source=MOMENTUM,
    sets=CORE,
)
def momentum_250_20(bars: Bars) -> Array:
    """Twelve months without the last one."""
    return _skipped(bars, 20, 250)


@factor(
    "up_share_{w}",
    group="up and down",
    formula="share of the last {w} returns above 0",
    windows=ALPHA158_WINDOWS,
    inputs=("close",),
    source=ALPHA158,
    sets={"core": (5, 20, 60)},
)
def up_share(bars: Bars, w: int) -> Array:
    """How often the close rose."""
    return mean(bars.sums("up"), w)


@factor(
    "down_share_{w}",
    group="up and down",
    formula="share of the last {w} returns below 0",
    windows=ALPHA158_WINDOWS,
    inputs=("close",),
    source=ALPHA158,
    sets={"core": (5, 20, 60)},
)
def down_share(bars: Bars, w: int) -> Array:
    """How often the close fell."""
    return mean(bars.sums("down"), w)


@factor(
    "gain_share_{w}",
    group="up and down",
    formula="sum of the positive returns / sum of their sizes, over {w} bars",
    windows=(10, 20),
    inputs=("close",),
    source="Wilder (1978)",
    sets=CORE,
)
def gain_share(bars: Bars, w: int) -> Array:
    """Relative strength: how much of the movement was upwards."""
    return mean(bars.sums("gain"), w) / mean(bars.sums("absolute_ret"), w)


@factor(
    "average_distance_{w}",
    group="trend",
    formula="ln close - mean of ln close over {w} bars",
    windows=(5, 10, 20, 60),
    lookback_bars=-1,
    inputs=("close",),
    source="Brock, Lakonishok and LeBaron (1992)",
    sets=CORE,
)
def average_distance(bars: Bars, w: int) -> Array:
    """Distance of the close from its moving average."""
    return bars.log_close - mean(bars.sums("log_close"), w)


@factor(
    "slope_{w}",
    group="trend",
    formula="least-squares slope of ln close on the bar number, {w} bars",
    windows=(10, 20, 60),
    lookback_bars=-1,
    inputs=("close",),
    source=ALPHA158,
    sets=CORE,
)
def trend_slope(bars: Bars, w: int) -> Array:
    """Growth per bar of the fitted line."""
    return slope(bars.trend, w)


@factor(
    "r2_{w}",
    group="trend",
    formula="squared correlation of ln close with the bar number, {w} bars",
    windows=(10, 20, 60),
    lookback_bars=-1,
    inputs=("close",),
    source=ALPHA158,
    sets=CORE,
)
def trend_r2(bars: Bars, w: int) -> Array:
    """How straight the course was."""
    fit = correlation(bars.trend, w)
    return fit * fit


@factor(
    "residual_{w}",
    group="trend",
    formula="ln close - value at t of the line fitted over {w} bars",
    windows=(10, 20),
    lookback_bars=-1,
    inputs=("close",),
    source=ALPHA158,
    sets=CORE,
)
def trend_residual(bars: Bars, w: int) -> Array:
    """Distance of the close from the fitted line."""
    return bars.log_close - fitted(bars.trend, w)


@factor(
    "high_distance_{w}",
    group="range",
    formula="close / max(high) - 1, {w} bars",
    windows=(20, 60),
    lookback_bars=-1,
    inputs=("high", "close"),
    source=HIGHS,
    sets=CORE,
)
def high_distance(bars: Bars, w: int) -> Array:
    """Distance below the highest high."""
    return bars.close / bars.extreme("high", w, "max") - 1.0


@factor(
    "low_distance_{w}",
    group="range",
    formula="close / min(low) - 1, {w} bars",
    windows=(20, 60),
    lookback_bars=-1,
    inputs=("low", "close"),
    source=HIGHS,
    sets=CORE,
)
def low_distance(bars: Bars, w: int) -> Array:
    """Distance above the lowest low."""
    return bars.close / bars.extreme("low", w, "min") - 1.0


@factor(
    "high_age_{w}",
    group="range",
    formula="bars since max(high) / {w}, {w} bars; on ties the latest",
    windows=(20, 60),
    lookback_bars=-1,
    inputs=("high",),
    source="Chande (1995), Aroon",
    sets=CORE,
)
def high_age(bars: Bars, w: int) -> Array:
    """How long ago the highest high was."""
    return bars.extreme("high", w, "argmax") / w


@factor(
    "low_age_{w}",
    group="range",
    formula="bars since min(low) / {w}, {w} bars; on ties the latest",
    windows=(20, 60),
    lookback_bars=-1,
    inputs=("low",),
    source="Chande (1995), Aroon",
    sets=CORE,
)
def low_age(bars: Bars, w: int) -> Array:
    """How long ago the lowest low was."""
    return bars.extreme("low", w, "argmin") / w


@factor(
    "close_rank_{w}",
    group="range",
    formula="rank of close[t] among the last {w} closes, from -1 to 1",
    windows=(5, 20, 60),
    lookback_bars=-1,
    inputs=("close",),
    source=ALPHA158,
    sets=CORE,
)
def close_rank(bars: Bars, w: int) -> Array:
    """Place of the close among the recent ones."""
    return bars.extreme("close", w, "rank")
