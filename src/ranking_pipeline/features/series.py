"""Bars: the series of a few symbols that factors are written in."""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np
import numpy.typing as npt

from ranking_pipeline.features.carried import Carried
from ranking_pipeline.features.windows import (
    Array,
    Pyramid,
    SumPyramid,
    extreme,
    lag,
    quantiles,
)
from ranking_pipeline.panel import BoolArray, Panel


def _positive(values: Array) -> Array:
    return np.where(values > 0, values, np.nan)


class Bars:
    """Series of some symbols in float64, shape (s, T); NaN where there is no bar.

    Each series is computed once and shared by the factors that use it; so are the
    blocks of its windows.

    Parameters
    ----------
    panel : Panel
        With the fields open, high, low, close and volume.
    symbols : slice
        Which symbols of the panel.
    carried : Carried, optional
        What the bars before the panel left behind, for factors of the whole history.

    Attributes
    ----------
    session : ndarray of int32, shape (T,)
        Number of each bar's session in the panel, never decreasing.
    session_minutes : ndarray of int32, shape (T,)
        Whole minutes from the opening of the session to the end of the bar.
    opens_session : ndarray of bool, shape (T,)
        Where the bar is the first of its session. False at the first bar of the panel:
        nothing shows whether its session had opened before.
    """

    def __init__(
        self, panel: Panel, symbols: slice, carried: Carried | None = None
    ) -> None:
        def field(name: str) -> Array:
            return np.ascontiguousarray(panel.field(name)[symbols], dtype=np.float64)

        self.open, self.high, self.low = field("open"), field("high"), field("low")
        self.close, self.volume = field("close"), field("volume")
        self.session: npt.NDArray[np.int32] = panel.session
        self.session_minutes: npt.NDArray[np.int32] = panel.session_minutes
        self.opens_session: BoolArray = np.zeros(panel.n_bars, dtype=bool)
        self.opens_session[1:] = np.diff(self.session) > 0
        self._pyramids: dict[str, Pyramid] = {}
        self._sums: dict[str, SumPyramid] = {}
        self._extremes: dict[tuple[str, int, str], Array] = {}
        self._quantiles: dict[int, list[Array]] = {}
        self._carried, self._symbols = carried, symbols
        self._n_symbols = panel.n_symbols
        self._known: dict[int, BoolArray] = {}

    def sums(self, name: str) -> SumPyramid:
        """Count and sum the windows of one series; cheaper than its moments."""
        if name not in self._sums:
            self._sums[name] = SumPyramid(getattr(self, name))
        return self._sums[name]

    def windows(self, *names: str) -> Pyramid:
        """Moments of the windows of one series, or of two together."""
        key = " ".join(names)
        if key not in self._pyramids:
            self._pyramids[key] = Pyramid(*(getattr(self, name) for name in names))
        return self._pyramids[key]

    @staticmethod
    def before(values: Array) -> Array:
        """Shift values by one bar: what was known at t-1."""
        return lag(values, 1)

    @cached_property
    def trend(self) -> Pyramid:
        """Windows over the logarithm of the close against the number of the bar."""
        return Pyramid(self.log_close, on_time=True)

    @cached_property
    def price_trend(self) -> Pyramid:
        """Windows over the close against the number of the bar."""
        return Pyramid(self.close, on_time=True)

    def close_quantile(self, width: int, upper: bool) -> Array:
        """Quantile 0.8 or 0.2 of the closes of a window; one sort for both."""
        if width not in self._quantiles:
            count = self.price_trend.window(width).n
            self._quantiles[width] = quantiles(self.close, count, width, (0.2, 0.8))
        return self._quantiles[width][upper]

    def extreme(self, name: str, width: int, kind: str) -> Array:
        """Select from the windows of a series; see :func:`windows.extreme`."""
        key = (name, width, kind)
        if key not in self._extremes:
            self._extremes[key] = extreme(getattr(self, name), width, kind)
        return self._extremes[key]

    def so_far(self, name: str, join: np.ufunc) -> Array:
        """Accumulate a series over the whole history: its maximum up to t, for one.

        Parameters
        ----------
        name : str
        join : ufunc of two arguments
            ``numpy.fmax``, ``numpy.fmin``, ``numpy.add``; the first two pass over NaN.
        """
        series = getattr(self, name)
        if self._carried is None:
            accumulated: Array = join.accumulate(series, axis=1)
            return accumulated
        key = f"{join.__name__} {name}"
        return self._carried.accumulate(
            series, join, key, self._symbols, self._n_symbols
        )

    def known(self, lookback_bars: int) -> BoolArray:
        """Tell where the newest and the oldest bar of a window exist, shape (s, T).

        The oldest one decides, from the window alone, that the first ``lookback_bars``
        bars of a symbol are unknown.
        """
        if lookback_bars not in self._known:
            close = self.close
            self._known[lookback_bars] = np.isfinite(close) & np.isfinite(
                lag(close, lookback_bars)
            )
        return self._known[lookback_bars]

    @cached_property
    def gap(self) -> Array:
        """Return from the previous close to this open."""
        return self.open / lag(self.close, 1) - 1.0

    @cached_property
    def body(self) -> Array:
        """Return from this open to this close."""
        return self.close / self.open - 1.0

    @cached_property
    def ret(self) -> Array:
        """Return over one bar; unknown next to a gap."""
        return self.close / lag(self.close, 1) - 1.0

    @cached_property
    def previous_ret(self) -> Array:
        """Return of the bar before."""
        return lag(self.ret, 1)

    @cached_property
    def up(self) -> Array:
        """1 where the close rose, 0 where it did not."""
        return np.where(np.isfinite(self.ret), self.ret > 0, np.nan)

    @cached_property
    def down(self) -> Array:
        """1 where the close fell, 0 where it did not."""
        return np.where(np.isfinite(self.ret), self.ret < 0, np.nan)

    @cached_property
    def gain(self) -> Array:
        """Positive part of the return."""
        return np.maximum(self.ret, 0.0)

    @cached_property
    def absolute_ret(self) -> Array:
        """Size of the return."""
        return np.abs(self.ret)

    @cached_property
    def squared_loss(self) -> Array:
        """Square of the negative part of the return."""
        loss = np.minimum(self.ret, 0.0)
        return loss * loss

    @cached_property
    def log_close(self) -> Array:
        """Logarithm of the close."""
        return np.log(_positive(self.close))

    @cached_property
    def log_range(self) -> Array:
        """Logarithm of high over low."""
        return np.log(_positive(self.high / self.low))

    @cached_property
    def parkinson(self) -> Array:
        """One bar's variance from its range (Parkinson, 1980)."""
        return self.log_range * self.log_range / (4.0 * math.log(2.0))

    @cached_property
    def garman_klass(self) -> Array:
        """One bar's variance from its range and body (Garman and Klass, 1980)."""
        body = np.log(_positive(self.close / self.open))
        half = 0.5 * self.log_range * self.log_range
        return half - (2.0 * math.log(2.0) - 1.0) * body * body

    @cached_property
    def price_change(self) -> Array:
        """Close minus the close before."""
        return self.close - lag(self.close, 1)

    @cached_property
    def price_rise(self) -> Array:
        """Positive part of the change of the close."""
        return np.maximum(self.price_change, 0.0)

    @cached_property
    def price_move(self) -> Array:
        """Size of the change of the close."""
        return np.abs(self.price_change)

    @cached_property
    def volume_change(self) -> Array:
        """Volume minus the volume before."""
        return self.volume - lag(self.volume, 1)

    @cached_property
    def volume_rise(self) -> Array:
        """Positive part of the change of the volume."""
        return np.maximum(self.volume_change, 0.0)

    @cached_property
    def volume_move(self) -> Array:
        """Size of the change of the volume."""
        return np.abs(self.volume_change)

    @cached_property
    def weighted_move(self) -> Array:
        """Size of the return times the volume."""
        return self.absolute_ret * self.volume

    @cached_property
    def log_volume_plus_one(self) -> Array:
        """Logarithm of the volume plus 1, known without trading too."""
        return np.log(self.volume + 1.0)

    @cached_property
    def log_volume_growth(self) -> Array:
        """Logarithm of 1 plus the ratio of the volume to the volume before."""
        return np.log(self.volume / lag(self.volume, 1) + 1.0)

    @cached_property
    def log_volume(self) -> Array:
        """Logarithm of the volume; unknown where nothing was traded."""
        return np.log(_positive(self.volume))

    @cached_property
    def log_volume_change(self) -> Array:
        """Change of the logarithm of the volume over one bar."""
        return self.log_volume - lag(self.log_volume, 1)

    @cached_property
    def dollars(self) -> Array:
        """Traded value, close times volume; unknown where nothing was traded."""
        return _positive(self.close * self.volume)

    @cached_property
    def log_dollars(self) -> Array:
        """Logarithm of the traded value."""
        return np.log(self.dollars)

    @cached_property
    def price_impact(self) -> Array:
        """Size of the return per unit of traded value (Amihud, 2002)."""
        return self.absolute_ret / self.dollars
