"""Factors that compare the symbols of one bar; tradable cells only.

Every sum runs over the values in ascending order, so that neither the order of the
symbols nor the ones without a value change a single bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ranking_pipeline.features.registry import CORE, cross_sectional
from ranking_pipeline.features.windows import Array

MIN_SYMBOLS = 5
MIN_SECTOR_SYMBOLS = 2
MIN_RANKED_SECTOR_SYMBOLS = 3
COMPARED = ("gap_1", "ret_1", "ret_5", "ret_20", "vol_20", "volume_surprise_20")
COMPARED_TOO = (
    "ret_60",
    "momentum_120_20",
    "high_distance_60",
    "max_ret_20",
    "illiquidity_20",
    "traded_value_20",
)
SET = ("cross_section",)
GRINOLD = "Grinold and Kahn (2000)"
INDUSTRY = "Moskowitz and Grinblatt (1999)"

Sectors = npt.NDArray[np.int16]
Positions = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Groups:
    """The known values of all bars, bar after bar, each group in ascending order.

    Attributes
    ----------
    values : ndarray, shape (n,)
    cells : ndarray of int, shape (n,)
        Position of each value in the flat (S, T) matrix.
    group : ndarray of int, shape (n,)
        Number of the group, 0, 1, ... in this order.
    shape : (S, T)
    """

    values: Array
    cells: Positions
    group: Positions
    shape: tuple[int, int]

    @classmethod
    def build(cls, values: Array, sectors: Sectors | None = None) -> Groups:
        """Group the symbols of each bar, or those of each sector of each bar.

        Parameters
        ----------
        values : ndarray, shape (S, T)
        sectors : ndarray of int, shape (S, T), optional
            The symbols of code -1, whose sector is not known, form a group.
        """
        n_symbols, n_bars = values.shape
        symbols = np.argsort(values, axis=0)
        bars = np.broadcast_to(np.arange(n_bars), symbols.shape)
        if sectors is not None:
            codes = np.take_along_axis(sectors, symbols, axis=0)
            within = np.argsort(codes, axis=0, kind="stable")
            symbols = np.take_along_axis(symbols, within, axis=0)
        cells = (symbols * n_bars + bars).T.ravel()
        flat = values.ravel()[cells]
        keys = bars.T.ravel()
        if sectors is not None:
            keys = keys * (int(sectors.max(initial=-1)) + 2) + sectors.ravel()[cells]
        known = np.isfinite(flat)
        keys = keys[known]
        group = np.cumsum(_changes(keys)) - 1
        return cls(flat[known], cells[known], group, (n_symbols, n_bars))

    def scatter(self, values: Array) -> Array:
        """Bring one value per cell (n,) back to (S, T), NaN elsewhere."""
        matrix = np.full(self.shape, np.nan)
        matrix.ravel()[self.cells] = values
        return matrix

    def sums(self, values: Array) -> Array:
        """Sum over each group, one value after the other in ascending order."""
        sums = np.bincount(self.group, weights=values, minlength=1)
        return np.asarray(sums, dtype=np.float64)

    def counts(self) -> Array:
        """Count the values of each group."""
        return np.bincount(self.group, minlength=1).astype(np.float64)

    def means(self) -> Array:
        """Mean of each group."""
        return self.sums(self.values) / np.maximum(self.counts(), 1.0)

    def average_ranks(self) -> Array:
        """Rank each value in its group from 1; equal values share their mean rank."""
        groups_open = _changes(self.group)
        opens = groups_open | _changes(self.values)
        starts, ends = _runs(opens)
        middle = (0.5 * (starts + ends)).astype(np.float64)
        run = np.cumsum(opens) - 1
        first, _ = _runs(groups_open)
        ranks: Array = middle[run] - first[self.group] + 1.0
        return ranks

    def z_scores(self) -> Array:
        """Standardise each value by the mean and deviation (ddof 0) of its group.

        A group of equal values has no deviation, whatever the rounding of its mean.
        """
        gap = self.values - self.means()[self.group]
        variance = self.sums(gap * gap) / np.maximum(self.counts(), 1.0)
        starts, ends = _runs(_changes(self.group))
        varied = (self.values[ends] > self.values[starts])[self.group]
        deviation = np.where(varied, np.sqrt(variance)[self.group], np.nan)
        return gap / deviation

    def at_least(self, least: int, values: Array) -> Array:
        """Keep the values (n,) of groups of ``least`` symbols or more."""
        return np.where(self.counts()[self.group] >= least, values, np.nan)


def _changes(values: npt.NDArray[np.generic]) -> npt.NDArray[np.bool_]:
    """Where a value differs from the one before it; True at the first."""
    return np.append(True, values[1:] != values[:-1])[: len(values)]


def _runs(opens: npt.NDArray[np.bool_]) -> tuple[Positions, Positions]:
    """First and last position of each run."""
    starts = np.flatnonzero(opens)
    return starts, np.append(starts[1:], len(opens))[: len(starts)] - 1


def _ranked(groups: Groups, least: int) -> Array:
    share = groups.average_ranks() / (groups.counts()[groups.group] + 1.0)
    return groups.scatter(groups.at_least(least, share))


def _standardised(groups: Groups, least: int) -> Array:
    return groups.scatter(groups.at_least(least, groups.z_scores()))


@cross_sectional(
    "rank_{base}",
    formula="average rank of {base} within the bar / (n + 1); unknown below 5 symbols",
    source=GRINOLD,
    of=COMPARED_TOO,
    sets=SET,
)
@cross_sectional(
    "rank_{base}",
    formula="average rank of {base} within the bar / (n + 1); unknown below 5 symbols",
    source=GRINOLD,
    of=COMPARED,
    sets=CORE + SET,
)
def percentile_rank(sectors: Sectors, values: Array) -> Array:
    """Percentile within the bar, between 0 and 1."""
    del sectors
    return _ranked(Groups.build(values), MIN_SYMBOLS)


@cross_sectional(
    "zscore_{base}",
    formula="({base} - mean) / standard deviation within the bar (ddof 0); unknown "
    "below 5 symbols",
    source=GRINOLD,
    of=COMPARED + COMPARED_TOO,
    sets=SET,
)
def z_score(sectors: Sectors, values: Array) -> Array:
    """Standardised value within the bar."""
    del sectors
    return _standardised(Groups.build(values), MIN_SYMBOLS)


@cross_sectional(
    "sector_{base}",
    formula="{base} - mean of its sector within the bar; unknown below 2 symbols",
    source=INDUSTRY,
    of=COMPARED,
    sets=CORE + SET,
)
def sector_demeaned(sectors: Sectors, values: Array) -> Array:
    """Difference from the mean of the sector."""
    groups = Groups.build(values, sectors)
    gap = groups.values - groups.means()[groups.group]
    return groups.scatter(groups.at_least(MIN_SECTOR_SYMBOLS, gap))


@cross_sectional(
    "sector_rank_{base}",
    formula="average rank of {base} within its sector and bar / (n + 1); unknown below "
    "3 symbols",
    source=INDUSTRY,
    of=COMPARED + COMPARED_TOO,
    sets=SET,
)
def sector_rank(sectors: Sectors, values: Array) -> Array:
    """Percentile within the sector, between 0 and 1."""
    return _ranked(Groups.build(values, sectors), MIN_RANKED_SECTOR_SYMBOLS)


@cross_sectional(
    "sector_zscore_{base}",
    formula="({base} - mean) / standard deviation within its sector and bar (ddof 0); "
    "unknown below 3 symbols",
    source=INDUSTRY,
    of=COMPARED + COMPARED_TOO,
    sets=SET,
)
def sector_z_score(sectors: Sectors, values: Array) -> Array:
    """Standardised value within the sector."""
    return _standardised(Groups.build(values, sectors), MIN_RANKED_SECTOR_SYMBOLS)


@cross_sectional(
    "calm_momentum_20",
    formula="ret_20 where vol_20 is below its median within the bar, else 0; "
    "unknown below 5 symbols",
    source="Barroso and Santa-Clara (2015)",
    of=(("ret_20", "vol_20"),),
    sets=CORE + SET,
)
@cross_sectional(
    "quiet_momentum_20",
    formula="ret_20 where vol_ratio_20_120 is below its median within the bar, else 0; "
    "unknown below 5 symbols",
    source="Barroso and Santa-Clara (2015)",
    of=(("ret_20", "vol_ratio_20_120"),),
    sets=CORE + SET,
)
def calm_momentum(sectors: Sectors, momentum: Array, volatility: Array) -> Array:
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
