"""Markdown: tables whose cells cannot break them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    """Lines of a table."""
    lines = [f"| {' | '.join(header)} |", f"|{' --- |' * len(header)}"]
    return [*lines, *(f"| {' | '.join(map(cell, row))} |" for row in rows)]


def cell(value: Any) -> str:
    """Text of one cell on one line, with its bars escaped."""
    return str(value).replace("|", "\\|").replace("\n", " ")
