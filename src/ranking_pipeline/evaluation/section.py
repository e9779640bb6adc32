"""Section: one stage's part of the report, as plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ranking_pipeline.storage import number_or_null

Cell = str | int | float | bool | None | list[float | None]

FORMATS = (
    "text", "int", "ic", "ic_t", "t", "bps", "percent", "number", "p", "flag",
)  # fmt: skip
EMPHASES = ("", "chosen", "baseline", "benchmark", "oracle", "muted")


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes
    ----------
    name, label : str
        Key and heading.
    format : str
        One of ``FORMATS``. An ``ic_t`` cell is a pair (information coefficient, t);
        ``percent`` cells are shares; a ``t`` above 2 in size is coloured.
    """

    name: str
    label: str
    format: str = "text"

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise ValueError(f"format {self.format!r} is none of {FORMATS}")


@dataclass(frozen=True)
class Table:
    """One table; ``emphasis`` names a row's style, one of ``EMPHASES``."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str = ""
    emphasis: tuple[str, ...] = ()


@dataclass(frozen=True)
class Figure:
    """One figure: a plotly figure as a dict of plain values."""

    title: str
    figure: dict[str, Any]
    caption: str = ""


@dataclass(frozen=True)
class Section:
    """One stage's part of the report.

    Attributes
    ----------
    name : str
        Key of the section, used as its anchor.
    title : str
    lead : str
        One to three plain sentences.
    tables : tuple of Table
    figures : tuple of Figure
    """

    name: str
    title: str
    lead: str
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Give the section as JSON-safe values: missing numbers become null."""
        tables = [
            {
                "title": table.title,
                "caption": table.caption,
                "columns": [dict(vars(column)) for column in table.columns],
                "rows": table.rows,
                "emphasis": table.emphasis,
            }
            for table in self.tables
        ]
        figures = [dict(vars(figure)) for figure in self.figures]
        head = {"name": self.name, "title": self.title, "lead": self.lead}
        plain: dict[str, Any] = json_safe(head | {"tables": tables, "figures": figures})
        return plain

    def first_figure(self) -> dict[str, Any]:
        """Give the plotly figure of the first figure; an empty one where none is."""
        plain: dict[str, Any] = {"data": [], "layout": {"title": {"text": self.title}}}
        return json_safe(self.figures[0].figure) if self.figures else plain

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Section:
        """Read what :meth:`to_dict` made."""
        tables = tuple(
            Table(
                title=table["title"],
                columns=tuple(Column(**column) for column in table["columns"]),
                rows=tuple(tuple(row) for row in table["rows"]),
                caption=table["caption"],
                emphasis=tuple(table["emphasis"]),
            )
            for table in values["tables"]
        )
        figures = tuple(Figure(**figure) for figure in values["figures"])
        return cls(values["name"], values["title"], values["lead"], tables, figures)


def table_of(
    frame: pd.DataFrame,
    title: str,
    columns: Sequence[tuple[str, str, str]],
    *,
    caption: str = "",
    emphasis: Sequence[str] = (),
) -> Table:
    """Make a table from a frame.

    Parameters
    ----------
    frame : DataFrame
    title : str
    columns : sequence of (name, label, format)
        The name of an ``ic_t`` column holds both columns: ``"rank_ic ic_t"``. Columns
        that the frame lacks are left out.
    caption : str
    emphasis : sequence of str
        One per row, or none.

    Returns
    -------
    Table
        Missing values are None.
    """
    kept = [Column(*c) for c in columns if set(c[0].split()) <= set(frame.columns)]
    series = [_cells(frame, column.name.split()) for column in kept]
    rows = tuple(zip(*series, strict=True)) if series else ()
    return Table(title, tuple(kept), rows, caption, tuple(emphasis))


def json_safe(value: Any) -> Any:
    """Turn numpy and pandas values into plain ones, and missing numbers into None."""
    if isinstance(value, Mapping):
        return {str(key): json_safe(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_safe(item) for item in value]
    if isinstance(value, np.ndarray):
        return json_safe(value.tolist())
    return _plain(value)


def _plain(value: Any) -> str | int | float | bool | None:
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return number_or_null(float(value))
    missing = value is None or value is pd.NaT or value is pd.NA
    return None if missing else str(value)


def _cells(frame: pd.DataFrame, names: list[str]) -> list[Cell]:
    parts = [json_safe(frame[name].tolist()) for name in names]
    if len(parts) == 1:
        only: list[Cell] = parts[0]
        return only
    return [list(pair) for pair in zip(*parts, strict=True)]
