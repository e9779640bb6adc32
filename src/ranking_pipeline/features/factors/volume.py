"""Factors of the traded volume: surprise, its relation to price, illiquidity."""

import numpy as np

from ranking_pipeline.features.registry import CORE, factor
from ranking_pipeline.features.series import Bars
from ranking_pipeline.features.windows import (
    Array,
    correlation,
    mean,
    standard_deviation,
)

GROUP = "volume"
PREMIUM = "Gervais, Kaniel and Mingelgrin (2001)"
ALPHA158 = "Yang et al. (2020), Alpha158"
AMIHUD = "Amihud (2002)"


@factor(
    "volume_surprise_{w}",
    group=GROUP,
    formula="ln volume - mean of ln volume over the {w} bars before",
    windows=(5, 20),
    inputs=("volume",),
    source=PREMIUM,
    sets=CORE,
)
def volume_surprise(bars: Bars, w: int) -> Array:
    """Volume against what was usual."""
    return bars.log_volume - bars.before(mean(bars.sums("log_volume"), w))


@factor(
    "volume_z_{w}",
    group=GROUP,
    formula="volume_surprise_{w} / standard deviation of ln volume over the same bars",
    windows=(20, 60),
    inputs=("volume",),
    source=PREMIUM,
    sets=CORE,
)
def volume_z(bars: Bars, w: int) -> Array:
    """Volume surprise in units of its own spread."""
    past = bars.windows("log_volume")
    surprise = bars.log_volume - bars.before(mean(past, w))
    return surprise / bars.before(standard_deviation(past, w))


@factor(
    "volume_vol_{w}",
    group=GROUP,
    formula="standard deviation of ln volume, {w} bars",
    windows=(20,),
    lookback_bars=-1,
    inputs=("volume",),
    source=ALPHA158,
    sets=CORE,
)
def volume_vol(bars: Bars, w: int) -> Array:
    """How unsteady trading was."""
    return standard_deviation(bars.windows("log_volume"), w)


@factor(
    "volume_trend_5_60",
    group=GROUP,
    formula="mean of ln volume over 5 bars - mean over 60 bars",
    lookback_bars=59,
    inputs=("volume",),
    source=ALPHA158,
    sets=CORE,
)
def volume_trend(bars: Bars) -> Array:
    """Recent against usual volume."""
    volumes = bars.windows("log_volume")
    return mean(volumes, 5) - mean(volumes, 60)


@factor(
    "price_volume_correlation_{w}",
    group="price and volume",
    formula="correlation of ln close and ln volume, {w} bars",
    windows=(10, 20),
    lookback_bars=-1,
    inputs=("close", "volume"),
    source=ALPHA158,
    sets=CORE,
)
def price_volume_correlation(bars: Bars, w: int) -> Array:
    """Whether volume follows the level of the price."""
    return correlation(bars.windows("log_close", "log_volume"), w)


@factor(
    "return_volume_correlation_{w}",
    group="price and volume",
    formula="correlation of the last {w} returns and changes of ln volume",
    windows=(20, 60),
    inputs=("close", "volume"),
    source="Karpoff (1987)",
    sets=CORE,
)
def return_volume_correlation(bars: Bars, w: int) -> Array:
    """Whether rises come with volume."""
    return correlation(bars.windows("ret", "log_volume_change"), w)


@factor(
    "illiquidity_{w}",
    group="liquidity",
    formula="ln of the mean of |return| / (close volume), {w} bars",
    windows=(5, 20),
    inputs=("close", "volume"),
    source=AMIHUD,
    sets=CORE,
)
def illiquidity(bars: Bars, w: int) -> Array:
    """Price impact of trading."""
    return np.log(mean(bars.sums("price_impact"), w))


@factor(
    "traded_value_{w}",
    group="liquidity",
    formula="mean of ln(close volume), {w} bars",
    windows=(20,),
    lookback_bars=-1,
    inputs=("close", "volume"),
    source="Brennan, Chordia and Subrahmanyam (1998)",
    sets=CORE,
)
def traded_value(bars: Bars, w: int) -> Array:
    """How much money changes hands."""
    return mean(bars.sums("log_dollars"), w)
