"""Audit of one factor: what a user calls on a factor of one's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from ranking_pipeline.audit.cuts import cuts
from ranking_pipeline.audit.futures import MODES
from ranking_pipeline.audit.lookahead import (
    AuditResult,
    PanelFunction,
    Values,
    audit_function,
)
from ranking_pipeline.errors import UserError
from ranking_pipeline.features import compute_features
from ranking_pipeline.features.series import Bars
from ranking_pipeline.panel import Panel

Taking = Literal["bars", "table", "panel"]
KEY = ("timestamp", "symbol")


def audit_factor(
    factor: str | Callable[[Any], Any],
    panel: Panel,
    *,
    taking: Taking = "bars",
    modes: Sequence[str] = MODES,
    random_cuts: int = 16,
    event_cuts: int = 24,
    every: bool = False,
    seed: int = 0,
) -> AuditResult:
    """Check one factor for look-ahead on the bars of a panel.

    Parameters
    ----------
    factor : str or callable
        The name of a registered factor, or a function.
    panel : Panel
        A slice of some hundred bars of some symbols is enough; see ``Panel.cut``.
    taking : str
        What the function takes and gives: ``bars``: a
        :class:`~ranking_pipeline.features.series.Bars`, and gives an array (S, T);
        ``table``: a DataFrame of the bars that exist, with the columns open, high, low,
        close and volume and a MultiIndex (timestamp, symbol), and gives a Series with
        such an index; ``panel``: the panel, and gives an array (S, T).
    modes : sequence of str
        Ways of altering the future; all by default.
    random_cuts, event_cuts : int
        Cuts at random bars, and at most so many at events.
    every : bool
        Cut at every bar instead.
    seed : int

    Returns
    -------
    AuditResult
        ``result.clean`` tells; ``print(result)`` names the worst cell.

    Raises
    ------
    UserError
        For an unknown name, or a function that gives something else.

    Examples
    --------
    A factor that is honest, and one that looks at the next close:

    >>> from ranking_pipeline.audit.example_market import example_market
    >>> panel, _ = example_market(seed=0)
    >>> def momentum(table):
    ...     close = table["close"].unstack("symbol")
    ...     return (close / close.shift(5) - 1.0).stack()
    >>> def foresight(table):
    ...     close = table["close"].unstack("symbol")
    ...     return (close.shift(-1) / close - 1.0).stack()
    >>> audit_factor(momentum, panel, taking="table").clean
    True
    >>> audit_factor(foresight, panel, taking="table").clean
    False
    """
    chosen = cuts(panel, None, random_cuts, seed, every=every, at_most=event_cuts)
    name = factor if isinstance(factor, str) else _name_of(factor)
    function = _panel_function(factor, taking)
    return audit_function(function, panel, chosen, modes, [name], seed=seed)


def _name_of(function: Callable[[Any], Any]) -> str:
    return str(getattr(function, "__name__", type(function).__name__))


def _panel_function(
    factor: str | Callable[[Any], Any], taking: Taking
) -> PanelFunction:
    if isinstance(factor, str):
        return lambda panel: compute_features(panel, [factor])
    if taking == "panel":
        return factor
    if taking == "bars":
        return lambda panel: np.asarray(factor(Bars(panel, slice(None))))
    if taking == "table":
        return lambda panel: _of_table(factor, panel)
    raise UserError(f"audit_factor: taking is {taking!r}; use bars, table or panel")


def bar_frame(panel: Panel) -> pd.DataFrame:
    """Make the table of the bars that exist, indexed (timestamp, symbol), sorted."""
    bars, symbols = np.nonzero(panel.present.T)
    return pd.DataFrame(
        panel.values[symbols, bars].astype(np.float64),
        columns=list(panel.fields),
        index=_cells(panel)[bars * panel.n_symbols + symbols],
    )


def _cells(panel: Panel) -> pd.MultiIndex:
    stamps = pd.DatetimeIndex(panel.timestamps).tz_localize("UTC")
    return pd.MultiIndex.from_product([stamps, list(panel.symbols)], names=KEY)


def _of_table(factor: Callable[[Any], Any], panel: Panel) -> Values:
    """Values (S, T) of a function of the table of bars; NaN where it has no row."""
    series = factor(bar_frame(panel))
    if not isinstance(series, pd.Series) or tuple(series.index.names) != KEY:
        raise UserError(
            f"audit_factor: {_name_of(factor)} gave {type(series).__name__}; it must "
            "give a Series with the index levels timestamp and symbol"
        )
    if not series.index.is_unique:
        raise UserError(f"audit_factor: {_name_of(factor)} gave a key twice")
    aligned = series.reindex(_cells(panel)).to_numpy(dtype=np.float64)
    return aligned.reshape(panel.n_bars, panel.n_symbols).T
