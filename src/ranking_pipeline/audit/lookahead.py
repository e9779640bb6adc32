"""Look-ahead audit: run a function again on other futures, and compare every cell."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.audit.cuts import Cut
from ranking_pipeline.audit.futures import DESCRIPTIONS, alter_future, alter_past
from ranking_pipeline.errors import UserError
from ranking_pipeline.panel import Panel
from ranking_pipeline.progress import bar_options

Values = npt.NDArray[np.generic]
PanelFunction = Callable[[Panel], Values]

_BITS = {2: np.uint16, 4: np.uint32, 8: np.uint64}


@dataclass(frozen=True)
class Difference:
    """One cell that another future (or past) changes.

    Attributes
    ----------
    column, symbol, mode : str
    cut : Cut
    bar : int
        Of the cell.
    timestamp, cut_timestamp : str
        UTC, to the minute.
    value, altered : float
        In the run on the bars as they are, and in the other one.
    side : str
        ``after`` or ``before`` the cut: where the bars were altered.
    """

    column: str
    symbol: str
    mode: str
    cut: Cut
    bar: int
    timestamp: str
    cut_timestamp: str
    value: float
    altered: float
    side: str

    def __str__(self) -> str:
        return (
            f"{self.column} of {self.symbol} at {self.timestamp} is {self.value:.9g}, "
            f"but {self.altered:.9g} when {self.side} {self.cut_timestamp} "
            f"({self.cut.reason}) {DESCRIPTIONS[self.mode]}"
        )


@dataclass(frozen=True)
class AuditResult:
    """What an audit of one function found.

    Attributes
    ----------
    names : tuple of str, length K
        Columns of the function.
    cuts : tuple of Cut, length C
    modes : tuple of str, length M
    different : ndarray of int, shape (K, C, M)
        Cells that differ; -1 where a way was not tried at a cut.
    compared, known : int
        Cells compared, over all columns and runs, and how many of them hold a value:
        that a missing value is missing again says less.
    first : dict of str to Difference
        The first difference of each column that has one: at the earliest cut, the
        earliest bar, the first symbol.
    failure : str
        Why a run on altered bars could not be finished or compared; empty when all were.
    unsteady : tuple of str
        Columns that differ between two runs on the very same bars, such as random ones
        without a seed. Nothing can be said of them, and they are not compared.
    """

    names: tuple[str, ...]
    cuts: tuple[Cut, ...]
    modes: tuple[str, ...]
    different: npt.NDArray[np.int64]
    compared: int
    known: int
    first: dict[str, Difference] = field(default_factory=dict)
    failure: str = ""
    unsteady: tuple[str, ...] = ()

    @property
    def n_different(self) -> int:
        """Cells that differ."""
        return int(np.maximum(self.different, 0).sum())

    @property
    def clean(self) -> bool:
        """Whether every run was finished, some value compared, and no cell differs."""
        finished = not self.failure and not self.unsteady
        return finished and self.known > 0 and self.n_different == 0

    @property
    def unsteadiness(self) -> str:
        """Say which columns are not repeatable; empty where all are."""
        if not self.unsteady:
            return ""
        return (
            f"{', '.join(self.unsteady)} gives other values each time it is computed "
            "on the same bars; fix its seed, for until then nothing can be said of it"
        )

    @property
    def flagged(self) -> tuple[str, ...]:
        """Columns with a cell that differs, in their order."""
        return tuple(name for name in self.names if name in self.first)

    @property
    def worst(self) -> Difference | None:
        """First difference of the column with the most cells that differ."""
        if not self.first:
            return None
        total = np.maximum(self.different, 0).sum(axis=(1, 2))
        return self.first[self.names[int(total.argmax())]]

    def table(self) -> pd.DataFrame:
        """One row per column: cells that differ, cuts and ways that show it."""
        found = np.maximum(self.different, 0)
        shown = found > 0
        modes = [", ".join(np.array(self.modes)[row.any(axis=0)]) for row in shown]
        return pd.DataFrame(
            {
                "column": list(self.names),
                "cells_different": found.sum(axis=(1, 2)),
                "cuts": shown.any(axis=2).sum(axis=1),
                "ways": modes,
                "first": [str(self.first.get(name, "")) for name in self.names],
            }
        )

    def __str__(self) -> str:
        tried = f"{self.compared:,} cells ({self.known:,} with a value) compared at "
        tried += f"{len(self.cuts)} cuts in {len(self.modes)} ways, "
        tried += f"{self.n_different:,} differ"
        if self.failure:
            return f"{tried}; not finished: {self.failure}"
        if self.worst is None and self.unsteady:
            return f"{tried}; {self.unsteadiness}"
        if self.worst is None and not self.known:
            return f"{tried}; nothing was shown without a value: give more bars"
        return tried if self.worst is None else f"{tried}: {self.worst}"


def audit_function(
    function: PanelFunction,
    panel: Panel,
    cuts: Sequence[Cut],
    modes: Sequence[str],
    names: Sequence[str],
    *,
    seed: int = 0,
    modes_at_a_cut: int | None = None,
    reach: Sequence[int] | None = None,
    progress: str = "",
) -> AuditResult:
    """Check that nothing a function gives for the bars up to t depends on later ones.

    Parameters
    ----------
    function : callable
        Panel to array of shape (S, T, K), or (S, T) for one column.
    panel : Panel
    cuts : sequence of Cut
    modes : sequence of str
        See :mod:`ranking_pipeline.audit.futures`.
    names : sequence of str, length K
    seed : int
        Of the altered bars.
    modes_at_a_cut : int, optional
        Ways tried at each cut, taken in turn from ``modes``; all by default.
    reach : sequence of int, length K, optional
        Bars ahead that a column is allowed to see (a label knows its own window): it is
        compared at the bars up to t - reach. 0 by default; below 0 where even later
        bars may not change.
    progress : str
        Label of a progress bar; none when empty.

    Returns
    -------
    AuditResult

    Notes
    -----
    Floats are compared by their bits: 0.0 and -0.0 differ, and so do two numbers that
    print alike. A missing value is equal to a missing value, whatever its payload, and
    to nothing else. Truncation alone cannot see what only the shape would give away,
    and alterations that keep the shape cannot see a leak through the time axis: use
    both.
    """
    return _audit(
        _Runs(function, panel, tuple(cuts), tuple(modes), tuple(names), seed),
        modes_at_a_cut,
        np.broadcast_to(reach if reach is not None else 0, (len(cuts), len(names))),
        _up_to,
        alter_future,
        progress,
    )


def audit_past(
    function: PanelFunction,
    panel: Panel,
    cuts: Sequence[Cut],
    modes: Sequence[str],
    names: Sequence[str],
    lookback: Sequence[int] | npt.NDArray[np.integer],
    *,
    seed: int = 0,
) -> AuditResult:
    """Check that a column needs no more history than the look-back it declares.

    The bars before each cut's bar t are altered, or left out: the column must be the
    same, bit for bit, from bar t + lookback on.

    Parameters
    ----------
    function, panel, cuts, modes, names, seed
        See :func:`audit_function`.
    lookback : sequence of int, length K, or ndarray of int, shape (C, K)
        In bars; where it depends on the bar (sessions), one row per cut.
    """
    return _audit(
        _Runs(function, panel, tuple(cuts), tuple(modes), tuple(names), seed),
        None,
        np.broadcast_to(lookback, (len(cuts), len(names))),
        _from,
        alter_past,
    )


@dataclass(frozen=True)
class _Runs:
    function: PanelFunction
    panel: Panel
    cuts: tuple[Cut, ...]
    modes: tuple[str, ...]
    names: tuple[str, ...]
    seed: int

    def values(self, panel: Panel) -> Values:
        values = np.asarray(self.function(panel))
        values = values[:, :, None] if values.ndim == 2 else values
        expected = (panel.n_symbols, panel.n_bars, len(self.names))
        if values.shape != expected:
            raise UserError(
                f"audit: the function gave the shape {values.shape} for "
                f"{panel.n_symbols} symbols and {panel.n_bars} bars; {expected} is "
                "wanted, one value per symbol, bar and named column"
            )
        return values


Comparison = Callable[["_Runs", Values, Values, Cut, npt.NDArray[np.int64]], "_Found"]


@dataclass(frozen=True)
class _Found:
    """Which bars of each column were compared, (B, K), and which cells differ."""

    allowed: npt.NDArray[np.bool_]
    wrong: npt.NDArray[np.bool_]
    first_bar: int
    full: Values
    altered: Values
    side: str


def _audit(
    runs: _Runs,
    modes_at_a_cut: int | None,
    reach: npt.NDArray[np.int64],
    compare: Comparison,
    change: Callable[[Panel, int, str, int], Panel],
    progress: str = "",
) -> AuditResult:
    from tqdm import tqdm

    shape = (len(runs.names), len(runs.cuts), len(runs.modes))
    different, compared, known = np.full(shape, -1, dtype=np.int64), 0, 0
    first: dict[str, Difference] = {}
    failure = ""
    full = runs.values(runs.panel)
    n_known = (~_missing(full)).sum(axis=0)  # (T, K)
    unsteady = differs(full, runs.values(runs.panel)).any(axis=(0, 1))  # (K,)
    schedule = list(_schedule(len(runs.cuts), len(runs.modes), modes_at_a_cut))
    options = bar_options(len(schedule))
    for place, mode in tqdm(schedule, desc=progress, disable=not progress, **options):
        cut, way = runs.cuts[place], runs.modes[mode]
        try:
            other = runs.values(change(runs.panel, cut.bar, way, runs.seed))
        except Exception as error:  # noqa: BLE001 - a break is a finding, too
            failure = (
                failure or f"{type(error).__name__} at bar {cut.bar}, {way}: {error}"
            )
            continue
        # A symbol that only the other future lists has no cell to compare.
        found = compare(runs, full, other[: len(full)], cut, reach[place])
        found.allowed[:, unsteady] = False
        found.wrong[:, :, unsteady] = False
        compared += int(found.allowed.sum()) * full.shape[0]
        span = slice(found.first_bar, found.first_bar + len(found.allowed))
        known += int(n_known[span][found.allowed].sum())
        different[:, place, mode] = found.wrong.sum(axis=(0, 1))
        for column in np.flatnonzero(different[:, place, mode] > 0):
            name = runs.names[column]
            if name not in first:
                first[name] = _difference(runs, found, int(column), cut, way)
    return AuditResult(
        runs.names,
        runs.cuts,
        runs.modes,
        different,
        compared,
        known,
        first,
        failure,
        tuple(np.array(runs.names, dtype=object)[unsteady]),
    )


def _schedule(
    n_cuts: int, n_modes: int, modes_at_a_cut: int | None
) -> Iterator[tuple[int, int]]:
    """Give the runs: every way at every cut, or a few ways of each cut in turn."""
    each = min(n_modes, modes_at_a_cut or n_modes)
    for cut in range(n_cuts):
        for turn in range(each):
            yield cut, (cut * each + turn) % n_modes


def _up_to(
    runs: _Runs, full: Values, other: Values, cut: Cut, reach: npt.NDArray[np.int64]
) -> _Found:
    """Compare the bars up to t - reach."""
    del runs
    last = cut.bar - int(reach.min(initial=0))
    stop = min(last + 1, full.shape[1], other.shape[1])
    bars = np.arange(stop)[:, None]
    allowed = bars <= cut.bar - reach
    wrong = differs(full[:, :stop], other[:, :stop]) & allowed
    return _Found(allowed, wrong, 0, full[:, :stop], other[:, :stop], "after")


def _from(
    runs: _Runs, full: Values, other: Values, cut: Cut, reach: npt.NDArray[np.int64]
) -> _Found:
    """Compare the bars from t + reach on; a shorter history has no earlier ones."""
    start = runs.panel.n_bars - other.shape[1]
    bars = np.arange(start, runs.panel.n_bars)[:, None]
    allowed = bars >= cut.bar + reach
    kept = full[:, start:]
    wrong = differs(kept, other) & allowed
    return _Found(allowed, wrong, start, kept, other, "before")


def _difference(
    runs: _Runs, found: _Found, column: int, cut: Cut, mode: str
) -> Difference:
    bar, symbol = np.argwhere(found.wrong[:, :, column].T)[0]
    stamps = np.datetime_as_string(runs.panel.timestamps, unit="m")
    return Difference(
        runs.names[column],
        runs.panel.symbols[symbol],
        mode,
        cut,
        int(bar) + found.first_bar,
        str(stamps[bar + found.first_bar]),
        str(stamps[cut.bar]),
        float(found.full[symbol, bar, column]),
        float(found.altered[symbol, bar, column]),
        found.side,
    )


def _missing(values: Values) -> npt.NDArray[np.bool_]:
    if values.dtype.kind != "f":
        return np.zeros(values.shape, dtype=np.bool_)
    return np.asarray(np.isnan(values))


def differs(first: Values, second: Values) -> npt.NDArray[np.bool_]:
    """Tell which cells of two arrays of one shape differ, to the last bit.

    A missing value is equal to a missing value; 0.0 and -0.0 differ. Values of other
    kinds than floats are compared as such.
    """
    if first.dtype != second.dtype:
        raise UserError(
            f"audit: the function gave {first.dtype} on the bars as they are and "
            f"{second.dtype} on altered ones; give one type"
        )
    if first.dtype.kind != "f":
        return np.asarray(first != second)
    bits = _BITS[first.dtype.itemsize]
    one, two = np.ascontiguousarray(first), np.ascontiguousarray(second)
    wrong = one.view(bits) != two.view(bits)
    if wrong.any():
        wrong &= ~(np.isnan(one) & np.isnan(two))
    return np.asarray(wrong)
