"""Partial IC: rank correlation with an outcome once other ranks are removed from both.

All features of a group of rows share its sums, so that a screen of hundreds of features
against several outcomes costs a few matrix products per bar.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Series = npt.NDArray[np.float64]
Matrix = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]

_SPANNED = 1e-6  # share of its variation that a spanned column keeps by rounding
_FITS_AT_ONCE = 20_000  # with three references 4 MB
_MIDDLE = 0.5  # of percentile ranks: sums about it keep their digits


@dataclass(frozen=True)
class RankColumns:
    """What a screen correlates: percentile ranks within bars, or within symbols.

    Attributes
    ----------
    features : ndarray of float32 or float64, shape (n, F)
    outcomes : ndarray of float64, shape (n, O)
    reference : ndarray of float64, shape (n, k)
        Without NaN; removed by least squares from both others; k may be 0.
    bars, symbols : ndarray of int, shape (n,)
    n_bars : int
        T.
    min_rows : int
        Fewest complete rows per group, besides one for each column removed.
    """

    features: npt.NDArray[np.floating]
    outcomes: Matrix
    reference: Matrix
    bars: Rows
    symbols: Rows
    n_bars: int
    min_rows: int


def partial_ic(
    feature: Series,
    outcome: Series,
    reference: Matrix,
    bars: Rows,
    n_bars: int,
    min_symbols: int,
) -> Series:
    """Correlation per bar of two rank columns after others are removed from both.

    Parameters
    ----------
    feature, outcome : ndarray, shape (n,)
        Percentile ranks within the bar.
    reference : ndarray, shape (n, k)
        Ranks to be removed by least squares; with k = 0 nothing is.
    bars : ndarray of int, shape (n,)
        In increasing order.
    n_bars : int
        T.
    min_symbols : int
        Fewest complete rows per bar, besides one for each column removed.

    Returns
    -------
    ndarray of float64, shape (T,)
        NaN where a bar is too small or nothing is left to correlate.
    """
    columns = RankColumns(
        np.asarray(feature)[:, None],
        np.asarray(outcome)[:, None],
        reference,
        bars,
        np.zeros_like(bars),
        n_bars,
        min_symbols,
    )
    return np.asarray(partial_ics(columns)[:, 0, 0])


def partial_ics(columns: RankColumns) -> npt.NDArray[np.float64]:
    """Partial IC per bar of every feature with every outcome.

    Returns
    -------
    ndarray of float64, shape (T, F, O)
        NaN where a bar is too small or nothing is left to correlate.
    """
    sizes = columns.features.shape[1], columns.outcomes.shape[1]
    result = np.full((columns.n_bars, *sizes), np.nan)
    waiting: list[tuple[int, int, _Sums]] = []
    at_once = max(1, _FITS_AT_ONCE // max(sizes[0], 1))
    for rows in _groups(columns.bars):
        bar = int(columns.bars[rows.start])
        for place, group in _blocks(columns, rows):
            waiting.append((bar, place, group.sums()))
        if len(waiting) >= at_once:
            _correlate(waiting, result, columns.min_rows)
            waiting.clear()
    _correlate(waiting, result, columns.min_rows)
    return result


def partial_products(columns: RankColumns) -> npt.NDArray[np.float64]:
    """Per bar, each feature's share in its partial correlation over time.

    Within each symbol feature and outcome are ranked over time, the reference is
    removed from both, and what is left is standardised. A bar holds the mean over its
    symbols of the products; the mean over all cells is the mean partial correlation
    of the symbols.

    Returns
    -------
    ndarray of float64, shape (T, F, O)
        NaN where no symbol can be measured.
    """
    shape = columns.n_bars, columns.features.shape[1], columns.outcomes.shape[1]
    total, count = np.zeros(shape), np.zeros(shape)
    by_symbol = np.argsort(columns.symbols, kind="stable")
    sorted_columns = _taken(columns, by_symbol)
    for rows in _groups(sorted_columns.symbols):
        bars = sorted_columns.bars[rows]
        for place, group in _blocks(sorted_columns, rows):
            products = group.products(columns.min_rows)
            known = np.isfinite(products)
            total[bars[group.rows], :, place] += np.where(known, products, 0.0)
            count[bars[group.rows], :, place] += known
    result = np.full(shape, np.nan)
    np.divide(total, count, out=result, where=count > 0)
    return result


_Sums = tuple[Series, Matrix, npt.NDArray[np.float64]]


def _correlate(
    waiting: Sequence[tuple[int, int, _Sums]],
    result: npt.NDArray[np.float64],
    min_rows: int,
) -> None:
    """Fit the sums of many bars in one step, and write down their correlations."""
    if not waiting:
        return
    bars, places, sums = zip(*waiting, strict=True)
    n, linear, products = (np.concatenate(parts) for parts in zip(*sums, strict=True))
    found = _fit(n, linear, products).correlation(min_rows)
    result[list(bars), :, list(places)] = found.reshape(len(waiting), -1)


@dataclass(frozen=True)
class _Fit:
    """Least squares of features and an outcome on the reference, by feature."""

    n: Series  # (F,)
    means: Matrix  # (F, 2 + k) of feature, outcome, reference
    slopes: npt.NDArray[np.float64]  # (F, k, 2) of feature and outcome
    left: Matrix  # (F, 3) xx, yy, xy once the reference is removed
    usable: npt.NDArray[np.bool_]  # (F,) variation is left on both sides

    def enough(self, min_rows: int) -> npt.NDArray[np.bool_]:
        fewest = min_rows + self.slopes.shape[1]
        return np.asarray(self.usable & (self.n >= fewest))

    def correlation(self, min_rows: int) -> Series:
        usable = self.enough(min_rows)
        result = np.full(len(usable), np.nan)
        scale = np.sqrt(self.left[usable, 0] * self.left[usable, 1])
        result[usable] = self.left[usable, 2] / scale
        return result


@dataclass(frozen=True)
class _Block:
    """Rows of one group on which one outcome is known."""

    rows: Rows
    values: Matrix  # (m, F), 0 where not known
    known: Matrix  # (m, F), 1 or 0
    others: Matrix  # (m, 1 + k): outcome, reference

    def sums(self) -> _Sums:
        """Rows (F,), sums (F, 2 + k) and sums of products of each feature's rows."""
        n = self.known.sum(axis=0)
        width = self.others.shape[1]
        first, second = _pairs(width)
        # float matrix products are what is fast here
        sums = self.known.T @ self.others
        products = self.known.T @ (self.others[:, first] * self.others[:, second])
        sum_x, cross = self.values.sum(axis=0), self.values.T @ self.others
        moments = np.empty((len(n), width + 1, width + 1))
        moments[:, first + 1, second + 1] = products
        moments[:, second + 1, first + 1] = products
        moments[:, 0, 1:] = moments[:, 1:, 0] = cross
        moments[:, 0, 0] = np.einsum("mf,mf->f", self.values, self.values)
        return n, np.concatenate([sum_x[:, None], sums], axis=1), moments

    def fit(self) -> _Fit:
        return _fit(*self.sums())

    def products(self, min_rows: int) -> Matrix:
        """Products of the standardised remainders, NaN where not known, (m, F)."""
        fit = self.fit()
        reference = self.others[:, 1:]
        level = np.einsum("fk,fka->fa", fit.means[:, 2:], fit.slopes)
        x = self.values - fit.means[:, 0] + level[:, 0]
        x -= reference @ fit.slopes[:, :, 0].T
        y = self.others[:, :1] - fit.means[:, 1] + level[:, 1]
        y = y - reference @ fit.slopes[:, :, 1].T
        scale = np.full(len(fit.n), np.nan)
        usable = fit.enough(min_rows)
        scale[usable] = np.sqrt(fit.left[usable, 0] * fit.left[usable, 1])
        scale[usable] /= fit.n[usable]
        return np.where(self.known > 0, x * y / scale, np.nan)


def _fit(n: Series, sums: Matrix, products: npt.NDArray[np.float64]) -> _Fit:
    size = np.maximum(n, 1.0)
    means = sums / size[:, None]
    moments = products - size[:, None, None] * means[:, :, None] * means[:, None, :]
    slopes, left, usable = _removed(moments)
    return _Fit(n, means, slopes, left, usable)


@cache
def _pairs(width: int) -> tuple[Rows, Rows]:
    """Each pair of so many columns once; made for every bar it would cost most."""
    first, second = np.triu_indices(width)
    return first, second


def _removed(
    moments: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.float64], Matrix, npt.NDArray[np.bool_]]:
    """Slopes on the reference, moments of the remainders, and whether any is left."""
    k = moments.shape[1] - 2
    both = moments[:, 2:, :2]  # (F, k, 2)
    slopes = np.zeros((len(moments), 0, 2))
    left = moments[:, [0, 1, 0], [0, 1, 1]]
    whole = left.copy()
    if k:
        gram = moments[:, 2:, 2:]
        # a trace of ridge keeps collinear columns solvable
        ridge = 1e-9 * np.trace(gram, axis1=1, axis2=2) / k + 1e-12
        slopes = np.linalg.solve(gram + ridge[:, None, None] * np.eye(k), both)
        explained = np.einsum("fka,fkb->fab", both, slopes)
        left = left - explained[:, [0, 1, 0], [0, 1, 1]]
    # what rounding leaves of a column that the reference spans is no variation
    least = np.maximum(_SPANNED * whole[:, :2], _SPANNED**2)
    usable = np.asarray((left[:, :2] > least).all(axis=1))
    return slopes, left, usable


def _groups(keys: Rows) -> Iterator[slice]:
    """Slices of equal keys, which lie together."""
    edges = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1], True])
    for start, stop in pairwise(edges):
        yield slice(int(start), int(stop))


def _blocks(columns: RankColumns, rows: slice) -> Iterator[tuple[int, _Block]]:
    """For each outcome of a group, its complete rows."""
    values = columns.features[rows].astype(np.float64) - _MIDDLE
    known = np.isfinite(values)
    values = np.where(known, values, 0.0)
    weight = known.astype(np.float64)
    reference = columns.reference[rows] - _MIDDLE
    outcomes = columns.outcomes[rows] - _MIDDLE
    for place in range(outcomes.shape[1]):
        here = np.flatnonzero(np.isfinite(outcomes[:, place]))
        whole = len(here) == len(outcomes)
        outcome = outcomes[here, place, None]
        others = np.concatenate([outcome, reference[here]], axis=1)
        x, w = (values, weight) if whole else (values[here], weight[here])
        if len(here):
            yield place, _Block(here, x, w, others)


def _taken(columns: RankColumns, order: Rows) -> RankColumns:
    return RankColumns(
        columns.features[order],
        columns.outcomes[order],
        columns.reference[order],
        columns.bars[order],
        columns.symbols[order],
        columns.n_bars,
        columns.min_rows,
    )
