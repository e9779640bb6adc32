"""Factors of the prices of a window in units of the latest close (Alpha158)."""

from functools import partial

from ranking_pipeline.features.registry import factor
from ranking_pipeline.features.series import Bars
from ranking_pipeline.features.sets import ALPHA158_WINDOWS
from ranking_pipeline.features.windows import (
    Array,
    correlation,
    fitted,
    lag,
    mean,
    slope,
    standard_deviation,
    total,
)

ALPHA158 = "Yang et al. (2020), Alpha158"

rolling = partial(factor, windows=ALPHA158_WINDOWS, source=ALPHA158)


@rolling(
    "past_close_ratio_{w}",
    group="return",
    formula="close[t-{w}] / close[t]",
    inputs=("close",),
)
def past_close_ratio(bars: Bars, w: int) -> Array:
    """Past close in units of this one."""
    return lag(bars.close, w) / bars.close


@rolling(
    "mean_close_ratio_{w}",
    group="trend",
    formula="mean of close over {w} bars / close[t]",
    lookback_bars=-1,
    inputs=("close",),
)
def mean_close_ratio(bars: Bars, w: int) -> Array:
    """Moving average in units of the close."""
    return mean(bars.sums("close"), w) / bars.close


@rolling(
    "close_deviation_{w}",
    group="volatility",
    formula="standard deviation of close over {w} bars / close[t]",
    lookback_bars=-1,
    inputs=("close",),
)
def close_deviation(bars: Bars, w: int) -> Array:
    """Spread of the closes."""
    return standard_deviation(bars.price_trend, w, series=1) / bars.close


@rolling(
    "close_slope_{w}",
    group="trend",
    formula="least-squares slope of close on the bar number, {w} bars / close[t]",
    lookback_bars=-1,
    inputs=("close",),
)
def close_slope(bars: Bars, w: int) -> Array:
    """Growth per bar of the fitted line."""
    return slope(bars.price_trend, w) / bars.close


@rolling(
    "close_r2_{w}",
    group="trend",
    formula="squared correlation of close with the bar number, {w} bars",
    lookback_bars=-1,
    inputs=("close",),
)
def close_r2(bars: Bars, w: int) -> Array:
    """How straight the course was."""
    fit = correlation(bars.price_trend, w)
    return fit * fit


@rolling(
    "close_residual_{w}",
    group="trend",
    formula="(close - value at t of the line fitted over {w} bars) / close[t]",
    lookback_bars=-1,
    inputs=("close",),
)
def close_residual(bars: Bars, w: int) -> Array:
    """Distance of the close from the fitted line."""
    return (bars.close - fitted(bars.price_trend, w)) / bars.close


@rolling(
    "highest_high_ratio_{w}",
    group="range",
    formula="max(high) over {w} bars / close[t]",
    lookback_bars=-1,
    inputs=("high", "close"),
)
def highest_high_ratio(bars: Bars, w: int) -> Array:
    """Highest high in units of the close."""
    return bars.extreme("high", w, "max") / bars.close


@rolling(
    "lowest_low_ratio_{w}",
    group="range",
    formula="min(low) over {w} bars / close[t]",
    lookback_bars=-1,
    inputs=("low", "close"),
)
def lowest_low_ratio(bars: Bars, w: int) -> Array:
    """Lowest low in units of the close."""
    return bars.extreme("low", w, "min") / bars.close


@rolling(
    "upper_quantile_ratio_{w}",
    group="range",
    formula="quantile 0.8 of close over {w} bars / close[t]",
    lookback_bars=-1,
    inputs=("close",),
)
def upper_quantile_ratio(bars: Bars, w: int) -> Array:
    """High close of the window, without its extremes."""
    return bars.close_quantile(w, upper=True) / bars.close


@rolling(
    "lower_quantile_ratio_{w}",
    group="range",
    formula="quantile 0.2 of close over {w} bars / close[t]",
    lookback_bars=-1,
    inputs=("close",),
)
def lower_quantile_ratio(bars: Bars, w: int) -> Array:
    """Low close of the window, without its extremes."""
    return bars.close_quantile(w, upper=False) / bars.close


@rolling(
    "close_percentile_{w}",
    group="range",
    formula="average rank of close[t] among the last {w} closes / their number",
    lookback_bars=-1,
    inputs=("close",),
)
def close_percentile(bars: Bars, w: int) -> Array:
    """Place of the close among the recent ones, up to 1 for the highest."""
    count = bars.price_trend.window(w).n
    rank = bars.extreme("close", w, "rank")  # from -1 to 1
    return (0.5 * (rank + 1.0) * (count - 1.0) + 1.0) / count


@rolling(
    "range_position_{w}",
    group="range",
    formula="(close - min(low)) / (max(high) - min(low)), {w} bars",
    lookback_bars=-1,
    inputs=("high", "low", "close"),
)
def range_position(bars: Bars, w: int) -> Array:
    """Place of the close in the range of the window (stochastic oscillator)."""
    lowest = bars.extreme("low", w, "min")
    return (bars.close - lowest) / (bars.extreme("high", w, "max") - lowest)


def _place(bars: Bars, w: int, name: str, kind: str) -> Array:
    return (w - bars.extreme(name, w, kind)) / w


@rolling(
    "highest_high_place_{w}",
    group="range",
    formula="number of the bar of max(high) in its window of {w} / {w}; "
    "1 = newest; on ties the latest",
    lookback_bars=-1,
    inputs=("high",),
)
def highest_high_place(bars: Bars, w: int) -> Array:
    """How new the highest high is."""
    return _place(bars, w, "high", "argmax")


@rolling(
    "lowest_low_place_{w}",
    group="range",
    formula="number of the bar of min(low) in its window of {w} / {w}; "
    "1 = newest; on ties the latest",
    lookback_bars=-1,
    inputs=("low",),
)
def lowest_low_place(bars: Bars, w: int) -> Array:
    """How new the lowest low is."""
    return _place(bars, w, "low", "argmin")


@rolling(
    "high_low_order_{w}",
    group="range",
    formula="bars from min(low) to max(high) / {w}, {w} bars; on ties the latest",
    lookback_bars=-1,
    inputs=("high", "low"),
)
def high_low_order(bars: Bars, w: int) -> Array:
    """Whether the high came after the low."""
    return (bars.extreme("low", w, "argmin") - bars.extreme("high", w, "argmax")) / w


@rolling(
    "up_down_balance_{w}",
    group="up and down",
    formula="up_share_{w} - down_share_{w}",
    inputs=("close",),
)
def up_down_balance(bars: Bars, w: int) -> Array:
    """Whether the close rose more often than it fell."""
    return mean(bars.sums("up"), w) - mean(bars.sums("down"), w)


def _rise_share(bars: Bars, w: int) -> Array:
    return total(bars.sums("price_rise"), w) / total(bars.sums("price_move"), w)


@rolling(
    "price_rise_share_{w}",
    group="up and down",
    formula="sum of the rises of close / sum of its moves, over {w} bars",
    inputs=("close",),
)
def price_rise_share(bars: Bars, w: int) -> Array:
    """How much of the movement was upwards."""
    return _rise_share(bars, w)


@rolling(
    "price_fall_share_{w}",
    group="up and down",
    formula="sum of the falls of close / sum of its moves, over {w} bars",
    inputs=("close",),
)
def price_fall_share(bars: Bars, w: int) -> Array:
    """How much of the movement was downwards."""
    return 1.0 - _rise_share(bars, w)


@rolling(
    "price_rise_balance_{w}",
    group="up and down",
    formula="price_rise_share_{w} - price_fall_share_{w}",
    inputs=("close",),
)
def price_rise_balance(bars: Bars, w: int) -> Array:
    """Difference between rises and falls."""
    return 2.0 * _rise_share(bars, w) - 1.0
