"""The 25 factors of the sector transformer: five series and their means, scaled.

For open, high, low, close and volume in turn: means over 5, 10, 20 and 30 bars, then
the value itself, each divided by the largest value of its own series that is known at t.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from ranking_pipeline.features.registry import factor
from ranking_pipeline.features.series import Bars
from ranking_pipeline.features.windows import Array, mean
from ranking_pipeline.panel import OHLCV

GROUP = "scaled level"
SETS = ("daily25",)
WINDOWS = (5, 10, 20, 30)
SOURCE = "level over the highest level known at t"


def scaled_mean(bars: Bars, w: int, field: str) -> Array:
    """Mean of one field over w bars, as a share of its highest value so far."""
    return mean(bars.sums(field), w) / bars.so_far(field, np.fmax)


def scaled_value(bars: Bars, field: str) -> Array:
    """Value of one field, as a share of its highest value so far."""
    values: Array = getattr(bars, field)
    return values / bars.so_far(field, np.fmax)


for name in OHLCV:
    factor(
        f"daily25_{name}_mean_{{w}}",
        group=GROUP,
        formula=f"mean of {name} over {{w}} bars / highest {name} up to t",
        windows=WINDOWS,
        lookback_bars=-1,
        inputs=(name,),
        source=SOURCE,
        sets=SETS,
        expanding=True,
    )(partial(scaled_mean, field=name))
    factor(
        f"daily25_{name}",
        group=GROUP,
        formula=f"{name} / highest {name} up to t",
        inputs=(name,),
        source=SOURCE,
        sets=SETS,
        expanding=True,
    )(partial(scaled_value, field=name))
