"""The written account of the checks: one line per rule, one row per row set aside."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

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


class QualityLog:
    """Collects what each rule found.

    Parameters
    ----------
    raw
        The rows as read.
    codes : ndarray of int, shape (n,)
        Symbol of each row, -1 where it is missing.
    """

    def __init__(self, raw: pd.DataFrame, codes: npt.NDArray[np.int64]) -> None:
        self._raw, self._codes = raw, codes
        self._lines: list[dict[str, Any]] = []

    def add(
        self,
        rule: str,
        action: str,
        found: npt.NDArray[np.bool_],
        order: npt.NDArray[np.intp] | None = None,
    ) -> None:
        """Write down the rows where ``found``; ``order`` maps them to source rows."""
        rows = np.flatnonzero(found) if order is None else order[found]
        if not len(rows):
            return
        self._lines.append(
            {
                "rule": rule,
                "action": action,
                "rows": len(rows),
                "symbols": len(np.unique(self._codes[rows])),
                "example": self._example(int(rows[0])),
            }
        )

    def note(self, rule: str, action: str, example: str) -> None:
        """Write down something that is not about rows."""
        line = {"rule": rule, "action": action, "rows": 0, "symbols": 0}
        self._lines.append({**line, "example": example})

    def table(self) -> pd.DataFrame:
        """One line per rule and action that found something."""
        return pd.DataFrame(self._lines, columns=list(QUALITY_COLUMNS)).astype(
            {"rule": str, "action": str, "rows": "i8", "symbols": "i8", "example": str}
        )

    def _example(self, row: int) -> str:
        cells = self._raw.iloc[row]
        numbers = " ".join(f"{n} {_short(cells[n])}" for n in NUMBERS if n in cells)
        return f"{cells['symbol']} {cells['timestamp']}: {numbers}"


def _short(cell: object) -> str:
    return f"{cell:.6g}" if isinstance(cell, float) else str(cell)


def quarantine_table(
    raw: pd.DataFrame, verdict: npt.NDArray[np.int8], keep_last: bool
) -> pd.DataFrame:
    """Return the rows set aside, with the values that the file held.

    Parameters
    ----------
    raw
        The rows as read.
    verdict : ndarray of int8, shape (n,)
        Position in ``ROW_RULES``.
    keep_last
        Whether one of several conflicting rows was kept, which the action then says.
    """
    out = np.flatnonzero(verdict)
    table = raw.iloc[out].reindex(columns=list(QUARANTINE_COLUMNS[:-2]))
    table = table.reset_index(drop=True)
    for name in ("source_file", "symbol", "timestamp"):
        table[name] = table[name].astype(str).where(table[name].notna(), "")
    for name in NUMBERS:
        table[name] = _storable(table[name])
    table["rule"] = pd.Series([ROW_RULES[code] for code in verdict[out]], dtype=str)
    table["action"] = pd.Series(_actions(verdict[out], keep_last), dtype=str)
    return table


def _storable(column: pd.Series) -> pd.Series:
    """Numbers stay numbers; a column that holds anything else is written as text."""
    if pd.api.types.is_numeric_dtype(column.dtype):
        return column.astype("float64")
    if not column.notna().any():
        return pd.Series(np.full(len(column), np.nan), dtype="float64")
    return column.astype(str).where(column.notna(), "")


def _actions(verdict: npt.NDArray[np.int8], keep_last: bool) -> list[str]:
    special = {RULE_CODE["exact_duplicate"]: "merged into an equal row"}
    if keep_last:
        special[RULE_CODE["conflicting_duplicate"]] = "replaced by a later row"
    return [special.get(int(code), "quarantined") for code in verdict]
