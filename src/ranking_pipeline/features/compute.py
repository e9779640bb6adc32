"""Factor values of a whole panel, their manifest and their table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.features.carried import Carried
from ranking_pipeline.features.registry import Factor
from ranking_pipeline.features.selection import find_factors, sets_of
from ranking_pipeline.features.series import Bars
from ranking_pipeline.features.timeframes import coarse_values, parse_name
from ranking_pipeline.panel import Panel

CELLS_AT_A_TIME = 8192  # a chunk's series stay in the processor's cache

Values = npt.NDArray[np.float32]


def compute_features(panel: Panel, names: Sequence[str] | None = None) -> Values:
    """Compute the factors at every bar.

    Parameters
    ----------
    panel : Panel
        With the fields open, high, low, close and volume. Its sectors count as they
        were at each bar; the symbols without one form a sector of their own.
    names : sequence of str, optional
        Factors in the order of the last axis; all by default.

    Returns
    -------
    ndarray of float32, shape (S, T, F)
        NaN in the first ``lookback_bars`` bars of a symbol, where too much of the
        window is missing (any value of up to 10, a third above that, or its oldest or
        newest bar), and where the formula has no finite value. Cross-sectional factors
        are NaN outside the tradable cells.

    Raises
    ------
    UserError
        For unknown or repeated names.

    Notes
    -----
    A value depends on the bars t - ``lookback_bars`` ... t alone (and, for the
    cross-section, on those of all symbols), bit for bit: it is the same whatever comes
    before, after, or with it in a chunk. Factors of a session or of the whole history
    say so in the manifest.
    """
    return np.moveaxis(compute_columns(panel, find_factors(names)), 0, -1)


def compute_table(panel: Panel, names: Sequence[str] | None = None) -> pd.DataFrame:
    """Compute the tidy table of the tradable cells, holding the values once.

    The same as :func:`feature_table` of :func:`compute_features`, in half the memory.
    """
    factors = find_factors(names)
    return table_of(panel, compute_columns(panel, factors), factors)


def compute_columns(
    panel: Panel,
    factors: Sequence[Factor],
    carried: Carried | None = None,
    history: Panel | None = None,
) -> Values:
    """Compute each factor into memory of its own.

    Parameters
    ----------
    panel : Panel
    factors : sequence of Factor
    carried : Carried, optional
        What the bars before the panel left behind.
    history : Panel, optional
        Bars that end where ``panel`` ends and begin before it, for the factors of
        coarser bars; ``panel`` itself by default.

    Returns
    -------
    ndarray of float32, shape (F, S, T)
    """
    columns = np.empty((len(factors), *panel.tradable.shape), dtype=np.float32)
    by_name = {factor.name: columns[i] for i, factor in enumerate(factors)}
    bases = _missing_bases(factors)
    for factor in bases:
        by_name[factor.name] = np.empty(panel.tradable.shape, dtype=np.float32)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        fine = [factor for factor in (*factors, *bases) if not factor.interval]
        _fill_own(panel, [f for f in fine if not f.bases], by_name, carried)
        _fill_sections(panel, [f for f in fine if f.bases], by_name)
    _fill_coarse(history or panel, [f for f in factors if f.interval], by_name)
    return columns


def _missing_bases(wanted: Sequence[Factor]) -> list[Factor]:
    listed = {factor.name for factor in wanted}
    needed = dict.fromkeys(base for factor in wanted for base in factor.bases)
    return find_factors([base for base in needed if base not in listed])


def _symbol_chunks(panel: Panel) -> Iterator[slice]:
    step = max(CELLS_AT_A_TIME // max(panel.n_bars, 1), 1)
    for start in range(0, panel.n_symbols, step):
        yield slice(start, start + step)


def _fill_own(
    panel: Panel,
    factors: Sequence[Factor],
    columns: dict[str, Values],
    carried: Carried | None,
) -> None:
    for chunk in _symbol_chunks(panel):
        bars = Bars(panel, chunk, carried)
        for factor in factors:
            column = columns[factor.name][chunk]
            column[...] = factor.compute(bars)
            usable = np.isfinite(column) & bars.known(factor.lookback_bars)
            if factor.session:
                usable &= bars.session > factor.lookback_sessions
            np.copyto(column, np.nan, where=~usable)


def _fill_sections(
    panel: Panel, factors: Sequence[Factor], columns: dict[str, Values]
) -> None:
    for factor in factors:
        bases = [
            np.where(panel.tradable, columns[base], np.nan).astype(np.float64)
            for base in factor.bases
        ]
        columns[factor.name][:] = factor.compute(panel.sectors, *bases)


def _fill_coarse(
    panel: Panel, factors: Sequence[Factor], columns: dict[str, Values]
) -> None:
    for interval in dict.fromkeys(factor.interval for factor in factors):
        names = [factor.name for factor in factors if factor.interval == interval]
        values = coarse_values(panel, [parse_name(n)[0] for n in names], str(interval))
        for i, name in enumerate(names):
            column = columns[name]
            column[:] = values[:, panel.n_bars - column.shape[1] :, i]


def feature_manifest(names: Sequence[str] | None = None) -> pd.DataFrame:
    """Describe each factor, one row per column of the feature table.

    Returns
    -------
    DataFrame
        name, group, formula, lookback_bars, inputs, source, sets; interval (of the
        bars that the look-back counts, empty for those of the panel); window (``bars``,
        ``session``: from the opening ``lookback_sessions`` sessions before, or
        ``history``: all bars).
    """
    factors = find_factors(names)
    return pd.DataFrame(
        {
            "name": [factor.name for factor in factors],
            "group": [factor.group for factor in factors],
            "formula": [factor.formula for factor in factors],
            "lookback_bars": np.array(
                [factor.lookback_bars for factor in factors], dtype=np.int64
            ),
            "inputs": [",".join(factor.inputs) for factor in factors],
            "source": [factor.source for factor in factors],
            "sets": [",".join(sets) for sets in sets_of(factors)],
            "interval": [factor.interval or "" for factor in factors],
            "window": [factor.window for factor in factors],
            "lookback_sessions": np.array(
                [factor.lookback_sessions for factor in factors], dtype=np.int64
            ),
        }
    )


def feature_table(
    panel: Panel, values: Values, names: Sequence[str] | None = None
) -> pd.DataFrame:
    """Make the tidy table of the tradable cells, sorted by (timestamp, symbol).

    Parameters
    ----------
    panel : Panel
    values : ndarray of float32, shape (S, T, F)
        From :func:`compute_features` with the same names.
    names : sequence of str, optional

    Returns
    -------
    DataFrame
        timestamp (UTC), symbol, then one float32 column per factor; rows as in
        :meth:`Panel.rows`.
    """
    columns = np.array(np.moveaxis(values, -1, 0), order="C")
    return table_of(panel, columns, find_factors(names))


def table_of(
    panel: Panel, columns: Values, factors: Sequence[Factor], first_bar: int = 0
) -> pd.DataFrame:
    """Make the table of the bars from ``first_bar`` on; ``columns`` is used up.

    The values are put into the order of the rows where they lie: a second copy of them
    would be the largest thing in memory.
    """
    bars, symbols = panel.cut(slice(first_bar, None)).rows()
    bars += first_bar
    cells = symbols * panel.n_bars + bars
    flat = columns.reshape(len(columns), -1)
    for column in flat:
        column[: len(cells)] = column.take(cells)
    values = flat[:, : len(cells)].T
    table = pd.DataFrame(values, columns=[f.name for f in factors], copy=False)
    names_of_rows = pd.Series(panel.symbols, dtype="str").take(symbols)
    table.insert(0, "symbol", names_of_rows.reset_index(drop=True))
    stamps = pd.DatetimeIndex(panel.timestamps).tz_localize("UTC")
    table.insert(0, "timestamp", stamps.take(bars))
    return table
