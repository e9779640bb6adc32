"""Rows: the symbol, the bar and the verdict of each raw row, in source order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.bars.axis import TimeAxis, read_axis
from ranking_pipeline.bars.calendar import Sessions
from ranking_pipeline.bars.config import ChecksConfig
from ranking_pipeline.bars.raw import RawBars, pieces
from ranking_pipeline.bars.reading import Reading
from ranking_pipeline.bars.rules import RULE_CODE, UNSELECTED, Verdict
from ranking_pipeline.errors import UserError

Codes = npt.NDArray[np.int32]
Cells = npt.NDArray[np.int64]

_NO_SYMBOL, _UNWANTED = -1, -2


@dataclass(frozen=True)
class Rows:
    """Raw rows by their place in the panel.

    Attributes
    ----------
    names : tuple of str, length S
        Symbols with at least one selected row, sorted.
    axis : TimeAxis
        The T bars.
    symbol, bar : ndarray of int32, shape (n,)
        Place of each row; negative where the row has none.
    verdict : ndarray of int8, shape (n,)
        Rule that the row breaks, 0 where it is sound so far, UNSELECTED where it was
        not asked for. Later checks write to it.
    """

    names: tuple[str, ...]
    axis: TimeAxis
    symbol: Codes
    bar: Codes
    verdict: Verdict

    @property
    def shape(self) -> tuple[int, int]:
        """(S, T)."""
        return len(self.names), len(self.axis.ends)

    def cells(self, rows: slice | npt.NDArray[np.integer]) -> Cells:
        """Symbol and bar of some rows as one number, ``symbol * T + bar``."""
        n_bars = np.int64(self.shape[1])
        return np.asarray(self.symbol[rows] * n_bars + self.bar[rows])

    def find(self, cells: Cells) -> npt.NDArray[np.intp]:
        """Sound rows in the given cells, in the order of the rows."""
        if not len(cells):
            return np.empty(0, dtype=np.intp)
        # Only rows between the first and the last symbol looked for need their cells.
        first, last = cells.min() // self.shape[1], cells.max() // self.shape[1]
        near = (self.verdict == 0) & (self.symbol >= first) & (self.symbol <= last)
        found = np.flatnonzero(near)
        return found[np.isin(self.cells(found), cells)]


def read_rows(
    raw: RawBars,
    config: ChecksConfig,
    *,
    now: pd.Timestamp | None,
    sessions: Sessions | None,
) -> Rows:
    """Read symbols and stamps, and judge the rows by them.

    Raises
    ------
    UserError
        A requested symbol has no rows, or no row is left; and as
        :func:`~ranking_pipeline.bars.axis.read_axis`.
    """
    names, symbol = _read_symbols(raw, config)
    stamps = raw.keys("timestamp")
    counts = np.bincount(stamps.codes + 1, minlength=len(stamps.values) + 1)[1:]
    axis = read_axis(
        stamps.values,
        config,
        raw.reading.source,
        counts=counts,
        now=now,
        sessions=sessions,
    )
    verdict = axis.verdict_of_stamp[stamps.codes]
    bar = axis.bar_of_stamp[stamps.codes]
    if len(symbol) and symbol.min() < 0:
        verdict[(symbol == _NO_SYMBOL) & (verdict >= 0)] = RULE_CODE["missing_symbol"]
        verdict[symbol == _UNWANTED] = UNSELECTED
    if not (verdict != UNSELECTED).any():
        raise UserError(
            "No rows are left: data.symbols, data.first_date and data.last_date select "
            "nothing. Widen them."
        )
    return Rows(names, axis, symbol, bar, verdict)


def _read_symbols(raw: RawBars, config: ChecksConfig) -> tuple[tuple[str, ...], Codes]:
    """Sorted names of the wanted symbols, and the position of each row's among them."""
    keys = raw.keys("symbol")
    count = np.bincount(keys.codes + 1, minlength=len(keys.values) + 1)[1:]
    texts = np.array([str(value) for value in keys.values], dtype=object)
    known = np.array([bool(text.strip()) for text in texts], dtype=bool)
    used = known & (count > 0)
    present = sorted(set(texts[used]))
    _require_symbols(present, config, raw.reading)
    names = [n for n in present if not config.symbols or n in set(config.symbols)]
    position = {name: place for place, name in enumerate(names)}
    # The last place is that of a missing symbol, code -1.
    recode = np.full(len(texts) + 1, _NO_SYMBOL, dtype=np.int32)
    for code in np.flatnonzero(used):
        recode[code] = position.get(texts[code], _UNWANTED)
    return tuple(names), recode[keys.codes]


def _require_symbols(
    present: list[str], config: ChecksConfig, reading: Reading
) -> None:
    absent = sorted(set(config.symbols) - set(present))
    if not absent:
        return
    torn = "".join(f" {name} cannot be read: {why}." for name, why in _torn(reading))
    raise UserError(
        f"data.symbols: no bars for {', '.join(absent[:10])}. The source has "
        f"{len(present)} symbols, as {', '.join(present[:5])}. Symbols are compared "
        f"letter by letter.{torn}"
    )


def _torn(reading: Reading) -> tuple[tuple[str, str], ...]:
    return reading.unreadable_files[:5]


def goes_back(rows: Rows) -> npt.NDArray[np.intp]:
    """Sound rows that lie before the row of their symbol above them, in source order."""
    newest = np.full(rows.shape[0], -1, dtype=np.int32)
    found = [np.empty(0, dtype=np.intp)]
    for piece in pieces(len(rows.verdict)):
        order = np.flatnonzero(rows.verdict[piece] == 0) + piece.start
        order = order[np.argsort(rows.symbol[order], kind="stable")]
        symbol, bar = rows.symbol[order], rows.bar[order]
        before = np.append(np.int32(-1), bar[:-1])[: len(bar)]
        first = np.flatnonzero(np.diff(symbol, prepend=-1))
        before[first] = newest[symbol[first]]
        found.append(np.sort(order[bar < before]))
        # Of several values for one symbol, the last one is kept.
        newest[symbol] = bar
    return np.concatenate(found)


def shared_cells(rows: Rows) -> npt.NDArray[np.bool_]:
    """Cells with more than one sound row, shape (S * T,)."""
    seen = np.zeros(rows.shape[0] * rows.shape[1], dtype=bool)
    shared = np.zeros_like(seen)
    for piece in pieces(len(rows.verdict)):
        cells = np.sort(rows.cells(piece)[rows.verdict[piece] == 0])
        shared[cells[seen[cells]]] = True
        shared[cells[1:][cells[1:] == cells[:-1]]] = True
        seen[cells] = True
    return shared


def rows_in(cells: npt.NDArray[np.bool_], rows: Rows) -> npt.NDArray[np.intp]:
    """Sound rows in the cells of a mask of shape (S * T,), in source order."""
    found = [np.empty(0, dtype=np.intp)]
    for piece in pieces(len(rows.verdict)):
        sound = np.flatnonzero(rows.verdict[piece] == 0)
        inside = cells[rows.cells(piece)[sound]]
        found.append(sound[inside] + piece.start)
    return np.concatenate(found)
