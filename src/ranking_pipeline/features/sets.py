"""Named sets of factors, and the factor that equals each column of Alpha158."""

from __future__ import annotations

ALPHA158_WINDOWS = (5, 10, 20, 30, 60)

SETS = {
    "core": "the default: about a hundred factors of daily or intraday bars",
    "alpha158": "the 158 columns of Alpha158 (Yang et al., 2020), in its order",
    "daily25": "25 factors of daily bars",
    "session": "factors of the course of a trading session; for intraday bars",
    "cross_section": "factors that compare the symbols of one bar",
    "all": "every factor of the library",
}

_SINGLE = {
    "KMID": "body_1",
    "KLEN": "relative_range_1",
    "KMID2": "body_to_range_1",
    "KUP": "upper_shadow_1",
    "KUP2": "upper_shadow_to_range_1",
    "KLOW": "lower_shadow_1",
    "KLOW2": "lower_shadow_to_range_1",
    "KSFT": "relative_close_location_1",
    "KSFT2": "close_location_1",
    "OPEN0": "open_to_close_1",
    "HIGH0": "high_to_close_1",
    "LOW0": "low_to_close_1",
    "VWAP0": "typical_to_close_1",
}

_ROLLING = {
    "ROC": "past_close_ratio",
    "MA": "mean_close_ratio",
    "STD": "close_deviation",
    "BETA": "close_slope",
    "RSQR": "close_r2",
    "RESI": "close_residual",
    "MAX": "highest_high_ratio",
    "MIN": "lowest_low_ratio",
    "QTLU": "upper_quantile_ratio",
    "QTLD": "lower_quantile_ratio",
    "RANK": "close_percentile",
    "RSV": "range_position",
    "IMAX": "highest_high_place",
    "IMIN": "lowest_low_place",
    "IMXD": "high_low_order",
    "CORR": "close_volume_correlation",
    "CORD": "growth_correlation",
    "CNTP": "up_share",
    "CNTN": "down_share",
    "CNTD": "up_down_balance",
    "SUMP": "price_rise_share",
    "SUMN": "price_fall_share",
    "SUMD": "price_rise_balance",
    "VMA": "mean_volume_ratio",
    "VSTD": "volume_deviation",
    "WVMA": "weighted_move_variation",
    "VSUMP": "volume_rise_share",
    "VSUMN": "volume_fall_share",
    "VSUMD": "volume_rise_balance",
}

ALPHA158: dict[str, str] = _SINGLE | {
    f"{column}{width}": f"{name}_{width}"
    for column, name in _ROLLING.items()
    for width in ALPHA158_WINDOWS
}
"""Column of Alpha158 -> our factor of the same value.

Equal wherever the window is full. They differ by intent where Alpha158 divides by a
range or a sum of 0 plus 1e-12 (ours: unknown), on ties of the highest high and the
lowest low (ours: the latest), and in VWAP0, for which bars carry no average price (ours:
the typical price, (high + low + close) / 3).
"""
