"""The written account of the checks: one line per rule, one row per row set aside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.bars.raw import RawBars
from ranking_pipeline.bars.rows import Cells, Rows
from ranking_pipeline.bars.rules import NUMBERS, ROW_RULES, RULE_CODE

QUALITY_COLUMNS = ("rule", "action", "rows", "symbols", "example")
QUARANTINE_COLUMNS = (
    "source_file",
    "source_row",
    "symbol",
    "timestamp",
    *NUMBERS,
    "rule",
    "action",
)


@dataclass(frozen=True)
class _Line:
    """One line of the table; an example is a row of the source, or said in words."""

    rule: str
    action: str
    rows: int
    symbols: int
    example: int | str


class QualityLog:
    """Collects what each rule found.

    Parameters
    ----------
    rows
        Symbols and bars of the raw rows.
    """

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._lines: list[_Line] = []

    def add(self, rule: str, action: str, found: npt.NDArray[np.intp]) -> None:
        """Write down the raw rows at the positions ``found``."""
        if len(found):
            symbols = len(np.unique(self._rows.symbol[found]))
            line = _Line(rule, action, len(found), symbols, int(found[0]))
            self._lines.append(line)

    def add_cells(self, rule: str, action: str, cells: Cells) -> None:
        """Write down bars of the panel by their cells."""
        if len(cells):
            symbols = len(np.unique(cells // self._rows.shape[1]))
            example = int(self._rows.find(cells[:1])[0])
            self._lines.append(_Line(rule, action, len(cells), symbols, example))

    def note(
        self, rule: str, action: str, example: str, rows: int = 0, symbols: int = 0
    ) -> None:
        """Write down something that is not about raw rows."""
        self._lines.append(_Line(rule, action, rows, symbols, example))

    def table(self, raw: RawBars) -> pd.DataFrame:
        """One line per rule and action that found something."""
        rows = sorted(
            {line.example for line in self._lines if isinstance(line.example, int)}
        )
        shown: dict[int | str, str] = dict(zip(rows, examples(raw, rows), strict=True))
        lines = [
            (line.rule, line.action, line.rows, line.symbols, shown.get(line.example))
            for line in self._lines
        ]
        table = pd.DataFrame(lines, columns=list(QUALITY_COLUMNS))
        said = [line.example for line in self._lines]
        table["example"] = table["example"].where(
            table["example"].notna(), pd.Series(said, dtype=object)
        )
        return table.astype(
            {"rule": str, "action": str, "rows": "i8", "symbols": "i8", "example": str}
        )


def examples(raw: RawBars, rows: list[int]) -> list[str]:
    """Show single rows as they are stored, for messages."""
    if not rows:
        return []
    frame = raw.rows(np.array(rows, dtype=np.int64))
    return [_shown(cells) for cells in frame.to_dict("records")]


def _shown(cells: Mapping[Any, Any]) -> str:
    numbers = " ".join(f"{n} {_short(cells[n])}" for n in NUMBERS if n in cells)
    return f"{cells['symbol']} {cells['timestamp']}: {numbers}"


def _short(cell: object) -> str:
    return f"{cell:.6g}" if isinstance(cell, (float, np.floating)) else str(cell)


def quarantine_table(raw: RawBars, rows: Rows, keep_last: bool) -> pd.DataFrame:
    """Return the rows set aside, with the values that the source held.

    Parameters
    ----------
    raw
        The source.
    rows
        Its rows with their verdicts.
    keep_last
        Whether one of several conflicting rows was kept, which the action then says.
    """
    out = np.flatnonzero(rows.verdict > 0)
    verdict = rows.verdict[out]
    table = raw.rows(out).reindex(columns=list(QUARANTINE_COLUMNS[:-2]))
    table = table.reset_index(drop=True)
    for name in ("source_file", "symbol", "timestamp"):
        table[name] = table[name].astype(str).where(table[name].notna(), "")
    for name in NUMBERS:
        table[name] = _storable(table[name])
    table["source_row"] = table["source_row"].astype(np.int64)
    table["rule"] = pd.Series([ROW_RULES[code] for code in verdict], dtype=str)
    table["action"] = pd.Series(_actions(verdict, keep_last), dtype=str)
    return table


def _storable(column: pd.Series) -> pd.Series:
    """Numbers stay numbers; a column that holds anything else is written as text."""
    if pd.api.types.is_numeric_dtype(column.dtype):
        return column.astype("float64")
    if not column.notna().any():
        return pd.Series(np.full(len(column), np.nan), dtype="float64")
    return column.astype(str).where(column.notna(), "")


def _actions(verdict: npt.NDArray[np.int8], keep_last: bool) -> list[str]:
    special = {int(RULE_CODE["exact_duplicate"]): "merged into an equal row"}
    if keep_last:
        special[int(RULE_CODE["conflicting_duplicate"])] = "replaced by a later row"
    return [special.get(int(code), "quarantined") for code in verdict]
