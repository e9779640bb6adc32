"""Factor values of a whole panel, their manifest and their table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.errors import UserError
from ranking_pipeline.features.registry import Factor
from ranking_pipeline.features.selection import find_factors
from ranking_pipeline.features.series import Bars
from ranking_pipeline.panel import Panel

SYMBOLS_AT_A_TIME = 8  # a chunk's series stay in the processor's cache

Values = npt.NDArray[np.float32]


def compute_features(
    panel: Panel,
    sectors: npt.NDArray[Any],
    names: Sequence[str] | None = None,
) -> Values:
    """Compute the factors at every bar.

    Parameters
    ----------
    panel : Panel
        With the fields open, high, low, close and volume.
    sectors : ndarray of str, shape (S,)
        Sector of each symbol; ``unknown`` counts as a sector of its own.
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
        For unknown or repeated names, or sectors that do not match the symbols.

    Notes
    -----
    A value depends on the bars t - ``lookback_bars`` ... t alone (and, for the
    cross-section, on those of all symbols), bit for bit: it is the same whatever comes
    before, after, or with it in a chunk.
    """
    if len(sectors) != panel.n_symbols:
        raise UserError(
            f"security_master: {len(sectors)} sectors for {panel.n_symbols} symbols; "
            "give one per symbol of the panel, 'unknown' where there is none"
        )
    wanted = find_factors(names)
    values = np.full((*panel.tradable.shape, len(wanted)), np.nan, dtype=np.float32)
    columns = {factor.name: values[:, :, i] for i, factor in enumerate(wanted)}
    bases = _missing_bases(wanted)
    for factor in bases:
        columns[factor.name] = np.full(panel.tradable.shape, np.nan, dtype=np.float32)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        _fill_own(panel, [f for f in (*wanted, *bases) if not f.bases], columns)
        _fill_sections(panel, sectors, [f for f in wanted if f.bases], columns)
    return values


def _missing_bases(wanted: Sequence[Factor]) -> list[Factor]:
    listed = {factor.name for factor in wanted}
    needed = dict.fromkeys(base for factor in wanted for base in factor.bases)
    return find_factors([base for base in needed if base not in listed])


def _fill_own(
    panel: Panel, factors: Sequence[Factor], columns: dict[str, Values]
) -> None:
    for start in range(0, panel.n_symbols, SYMBOLS_AT_A_TIME):
        chunk = slice(start, start + SYMBOLS_AT_A_TIME)
        bars = Bars(panel, chunk)
        for factor in factors:
            column = factor.compute(bars)
            usable = np.isfinite(column) & bars.known(factor.lookback_bars)
            columns[factor.name][chunk] = np.where(usable, column, np.nan)


def _fill_sections(
    panel: Panel,
    sectors: npt.NDArray[Any],
    factors: Sequence[Factor],
    columns: dict[str, Values],
) -> None:
    for factor in factors:
        bases = [
            np.where(panel.tradable, columns[base], np.nan).astype(np.float64)
            for base in factor.bases
        ]
        columns[factor.name][:] = factor.compute(sectors, *bases)


def feature_manifest(names: Sequence[str] | None = None) -> pd.DataFrame:
    """Describe each factor: name, group, formula, lookback_bars, inputs, source."""
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
    bars, symbols = panel.rows()
    columns = [factor.name for factor in find_factors(names)]
    table = pd.DataFrame(values[symbols, bars], columns=columns, copy=False)
    names_of_rows = pd.Series(panel.symbols, dtype="str").take(symbols)
    table.insert(0, "symbol", names_of_rows.reset_index(drop=True))
    stamps = pd.DatetimeIndex(panel.timestamps).tz_localize("UTC")
    table.insert(0, "timestamp", stamps.take(bars))
    return table
