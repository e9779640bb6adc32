"""Factors of the volumes of a window in units of the latest volume (Alpha158)."""

from functools import partial

from ranking_pipeline.features.registry import factor
from ranking_pipeline.features.series import Bars
from ranking_pipeline.features.sets import ALPHA158_WINDOWS
from ranking_pipeline.features.windows import (
    Array,
    correlation,
    mean,
    standard_deviation,
    total,
)

GROUP = "volume"
ALPHA158 = "Yang et al. (2020), Alpha158"

rolling = partial(factor, windows=ALPHA158_WINDOWS, source=ALPHA158)


@rolling(
    "close_volume_correlation_{w}",
    group="price and volume",
    formula="correlation of close and ln(volume + 1), {w} bars",
    lookback_bars=-1,
    inputs=("close", "volume"),
)
def close_volume_correlation(bars: Bars, w: int) -> Array:
    """Whether volume follows the level of the price; bars without volume count."""
    return correlation(bars.windows("close", "log_volume_plus_one"), w)


@rolling(
    "growth_correlation_{w}",
    group="price and volume",
    formula="correlation of the last {w} returns and ln(volume[t] / volume[t-1] + 1)",
    inputs=("close", "volume"),
)
def growth_correlation(bars: Bars, w: int) -> Array:
    """Whether rises come with growing volume."""
    return correlation(bars.windows("ret", "log_volume_growth"), w)


@rolling(
    "mean_volume_ratio_{w}",
    group=GROUP,
    formula="mean of volume over {w} bars / volume[t]",
    lookback_bars=-1,
    inputs=("volume",),
)
def mean_volume_ratio(bars: Bars, w: int) -> Array:
    """Moving average in units of the volume."""
    return mean(bars.windows("volume"), w) / bars.volume


@rolling(
    "volume_deviation_{w}",
    group=GROUP,
    formula="standard deviation of volume over {w} bars / volume[t]",
    lookback_bars=-1,
    inputs=("volume",),
)
def volume_deviation(bars: Bars, w: int) -> Array:
    """Spread of the volumes."""
    return standard_deviation(bars.windows("volume"), w) / bars.volume


@rolling(
    "weighted_move_variation_{w}",
    group="price and volume",
    formula="standard deviation / mean of |return| volume, {w} bars",
    inputs=("close", "volume"),
)
def weighted_move_variation(bars: Bars, w: int) -> Array:
    """How unsteady the moves are, weighted by volume."""
    moves = bars.windows("weighted_move")
    return standard_deviation(moves, w) / mean(moves, w)


def _rise_share(bars: Bars, w: int) -> Array:
    return total(bars.sums("volume_rise"), w) / total(bars.sums("volume_move"), w)


@rolling(
    "volume_rise_share_{w}",
    group=GROUP,
    formula="sum of the rises of volume / sum of its moves, over {w} bars",
    inputs=("volume",),
)
def volume_rise_share(bars: Bars, w: int) -> Array:
    """How much of the change of volume was growth."""
    return _rise_share(bars, w)


@rolling(
    "volume_fall_share_{w}",
    group=GROUP,
    formula="sum of the falls of volume / sum of its moves, over {w} bars",
    inputs=("volume",),
)
def volume_fall_share(bars: Bars, w: int) -> Array:
    """How much of the change of volume was decline."""
    return 1.0 - _rise_share(bars, w)


@rolling(
    "volume_rise_balance_{w}",
    group=GROUP,
    formula="volume_rise_share_{w} - volume_fall_share_{w}",
    inputs=("volume",),
)
def volume_rise_balance(bars: Bars, w: int) -> Array:
    """Difference between growth and decline of volume."""
    return 2.0 * _rise_share(bars, w) - 1.0
