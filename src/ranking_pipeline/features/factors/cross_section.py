"""Factors that compare the symbols of one bar; tradable cells only."""

from typing import Any

import numpy as np
import numpy.typing as npt

from ranking_pipeline.features.registry import cross_sectional, sector_codes
from ranking_pipeline.features.windows import Array

MIN_SYMBOLS = 5
MIN_SECTOR_SYMBOLS = 2
COMPARED = ("gap_1", "ret_1", "ret_5", "ret_20", "vol_20", "volume_surprise_20")

Labels = npt.NDArray[Any]


@cross_sectional(
    "rank_{base}",
    formula="average rank of {base} within the bar / (n + 1); unknown below 5 symbols",
    source="Grinold and Kahn (2000)",
    of=COMPARED,
)
def percentile_rank(sectors: Labels, values: Array) -> Array:
    """Percentile within the bar, between 0 and 1."""
    del sectors
    import bottleneck

    ranks: Array = bottleneck.nanrankdata(np.ascontiguousarray(values.T), axis=1).T
    count = np.isfinite(values).sum(axis=0)
    return np.where(count >= MIN_SYMBOLS, ranks / (count + 1.0), np.nan)


@cross_sectional(
    "sector_{base}",
    formula="{base} - mean of its sector within the bar; unknown below 2 symbols",
    source="Moskowitz and Grinblatt (1999)",
    of=COMPARED,
)
def sector_demeaned(sectors: Labels, values: Array) -> Array:
    """Difference from the mean of the sector."""
    codes = sector_codes(sectors)
    demeaned = np.full_like(values, np.nan)
    for code in range(codes.max() + 1):
        members = np.flatnonzero(codes == code)
        average = _member_mean(values, members)
        demeaned[members] = values[members] - average
    return demeaned


def _member_mean(values: Array, members: npt.NDArray[np.intp]) -> Array:
    # one symbol after the other: numpy's own sum changes its order with the shape
    total, count = np.zeros(values.shape[1]), np.zeros(values.shape[1])
    for member in members:
        valid = np.isfinite(values[member])
        total += np.where(valid, values[member], 0.0)
        count += valid
    known = count >= MIN_SECTOR_SYMBOLS
    return np.where(known, total / np.maximum(count, 1.0), np.nan)


@cross_sectional(
    "calm_momentum_20",
    formula="ret_20 where vol_20 is below its median within the bar, else 0",
    source="Barroso and Santa-Clara (2015)",
    of=(("ret_20", "vol_20"),),
)
@cross_sectional(
    "quiet_momentum_20",
    formula="ret_20 where vol_ratio_20_120 is below its median within the bar, else 0",
    source="Barroso and Santa-Clara (2015)",
    of=(("ret_20", "vol_ratio_20_120"),),
)
def calm_momentum(sectors: Labels, momentum: Array, volatility: Array) -> Array:
    """Momentum of the calm half of the universe."""
    del sectors
    centre = _median(volatility)
    known = np.isfinite(momentum) & np.isfinite(volatility) & np.isfinite(centre)
    calm = np.where(volatility < centre, momentum, 0.0)
    return np.where(known, calm, np.nan)


def _median(values: Array) -> Array:
    """Median of the finite values of each bar, shape (T,); NaN below 5 symbols."""
    ordered = np.sort(values.T, axis=1)
    count = np.isfinite(values).sum(axis=0)
    bars = np.arange(len(ordered))
    low = ordered[bars, np.maximum(count - 1, 0) // 2]
    high = ordered[bars, np.minimum(count // 2, values.shape[0] - 1)]
    return np.where(count >= MIN_SYMBOLS, 0.5 * (low + high), np.nan)
