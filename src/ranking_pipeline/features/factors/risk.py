"""Factors of risk: volatility, range volatility, distribution of returns."""

import numpy as np

from ranking_pipeline.features.registry import CORE, factor
from ranking_pipeline.features.series import Bars
from ranking_pipeline.features.windows import (
    Array,
    correlation,
    mean,
    standard_deviation,
    standardised_moment,
)

VOLATILITY = "volatility"
DISTRIBUTION = "distribution"


@factor(
    "vol_{w}",
    group=VOLATILITY,
    formula="standard deviation of the last {w} returns",
    windows=(5, 10, 20, 60),
    inputs=("close",),
    source="Ang, Hodrick, Xing and Zhang (2006)",
    sets=CORE,
)
def volatility(bars: Bars, w: int) -> Array:
    """Volatility per bar."""
    return standard_deviation(bars.windows("ret"), w)


def _log_ratio(bars: Bars, recent: int, usual: int) -> Array:
    returns = bars.windows("ret")
    ratio = standard_deviation(returns, recent) / standard_deviation(returns, usual)
    return np.log(ratio)


@factor(
    "vol_ratio_5_60",
    group=VOLATILITY,
    formula="ln(vol_5 / vol_60)",
    lookback_bars=60,
    inputs=("close",),
    source="Yang et al. (2020), Alpha158",
    sets=CORE,
)
def vol_ratio_5_60(bars: Bars) -> Array:
    """Compare the week's volatility with the quarter's."""
    return _log_ratio(bars, 5, 60)


@factor(
    "vol_ratio_20_120",
    group=VOLATILITY,
    formula="ln(vol_20 / standard deviation of the last 120 returns)",
    lookback_bars=120,
    inputs=("close",),
    source="Barroso and Santa-Clara (2015)",
    sets=CORE,
)
def vol_ratio_20_120(bars: Bars) -> Array:
    """Compare the month's volatility with the half-year's."""
    return _log_ratio(bars, 20, 120)


@factor(
    "downside_vol_{w}",
    group=VOLATILITY,
    formula="sqrt(mean of min(return, 0) squared), {w} bars",
    windows=(20,),
    inputs=("close",),
    source="Sortino and van der Meer (1991)",
    sets=CORE,
)
def downside_vol(bars: Bars, w: int) -> Array:
    """Volatility of the falls."""
    return np.sqrt(mean(bars.sums("squared_loss"), w))


@factor(
    "parkinson_{w}",
    group=VOLATILITY,
    formula="sqrt(mean of ln(high/low)^2 / (4 ln 2)), {w} bars",
    windows=(10, 20, 60),
    lookback_bars=-1,
    inputs=("high", "low"),
    source="Parkinson (1980)",
    sets=CORE,
)
def parkinson(bars: Bars, w: int) -> Array:
    """Volatility from the ranges."""
    return np.sqrt(mean(bars.sums("parkinson"), w))


@factor(
    "garman_klass_{w}",
    group=VOLATILITY,
    formula="sqrt(mean of ln(high/low)^2 / 2 - (2 ln 2 - 1) ln(close/open)^2), "
    "{w} bars",
    windows=(20, 60),
    lookback_bars=-1,
    inputs=("open", "high", "low", "close"),
    source="Garman and Klass (1980)",
    sets=CORE,
)
def garman_klass(bars: Bars, w: int) -> Array:
    """Volatility from ranges and bodies."""
    return np.sqrt(mean(bars.sums("garman_klass"), w))


@factor(
    "max_ret_{w}",
    group=DISTRIBUTION,
    formula="largest of the last {w} returns",
    windows=(20,),
    inputs=("close",),
    source="Bali, Cakici and Whitelaw (2011)",
    sets=CORE,
)
def max_return(bars: Bars, w: int) -> Array:
    """Largest rise."""
    return bars.extreme("ret", w, "max")


@factor(
    "min_ret_{w}",
    group=DISTRIBUTION,
    formula="smallest of the last {w} returns",
    windows=(20,),
    inputs=("close",),
    source="Bali, Cakici and Whitelaw (2011)",
    sets=CORE,
)
def min_return(bars: Bars, w: int) -> Array:
    """Largest fall."""
    return bars.extreme("ret", w, "min")


@factor(
    "skew_{w}",
    group=DISTRIBUTION,
    formula="skewness of the last {w} returns (population moments)",
    windows=(20, 60),
    inputs=("close",),
    source="Amaya, Christoffersen, Jacobs and Vasquez (2015)",
    sets=CORE,
)
def skewness(bars: Bars, w: int) -> Array:
    """Asymmetry of the returns."""
    return standardised_moment(bars.ret, bars.windows("ret"), w, 3)


@factor(
    "kurtosis_{w}",
    group=DISTRIBUTION,
    formula="kurtosis of the last {w} returns minus 3 (population moments)",
    windows=(20, 60),
    inputs=("close",),
    source="Amaya, Christoffersen, Jacobs and Vasquez (2015)",
    sets=CORE,
)
def kurtosis(bars: Bars, w: int) -> Array:
    """Weight of the tails."""
    return standardised_moment(bars.ret, bars.windows("ret"), w, 4) - 3.0


@factor(
    "autocorrelation_{w}",
    group=DISTRIBUTION,
    formula="correlation of the last {w} returns with the return before each",
    windows=(20, 60),
    lookback_bars=1,
    inputs=("close",),
    source="Lo and MacKinlay (1988)",
    sets=CORE,
)
def autocorrelation(bars: Bars, w: int) -> Array:
    """Whether moves carry on or turn."""
    return correlation(bars.windows("ret", "previous_ret"), w)
