"""Formats: how a number looks in the report and on the console."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ranking_pipeline.evaluation.section import Cell

MISSING = "–"
CLEAR_T = 2.0


def format_cell(value: Cell, kind: str) -> str:
    """Text of a table cell; a missing value is a dash.

    Parameters
    ----------
    value : str, number, bool, None, or a pair (information coefficient, t)
    kind : str
        One of ``section.FORMATS``.

    Returns
    -------
    str
    """
    if isinstance(value, list):
        centre, t = [*value, None, None][:2]
        if _missing(centre):
            return MISSING
        bracket = "" if _missing(t) else f" ({format_cell(t, 't')})"
        return format_cell(centre, "ic") + bracket
    if _missing(value):
        return MISSING
    if isinstance(value, str):
        return value
    return _NUMBERS[kind](value)


def percent(share: float) -> str:
    """Write a share as a percentage, without needless decimals: ``10 %``."""
    return f"{100 * share:.4g} %"


def clear_sign(value: Cell, kind: str) -> str:
    """Tell whether a t is clear: "positive", "negative", or "" within ±2."""
    t = value[1] if isinstance(value, list) and len(value) > 1 else value
    if kind not in ("t", "ic_t") or not isinstance(t, (int, float)):
        return ""
    return "positive" if t > CLEAR_T else "negative" if t < -CLEAR_T else ""


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and not math.isfinite(value))


def _fixed(digits: int, suffix: str = "", scale: float = 1.0) -> Callable[[Any], str]:
    def write(value: Any) -> str:
        text = f"{scale * value:,.{digits}f}"
        text = text.lstrip("-") if not text.strip("-0.,") else text
        return text.replace("-", "−") + suffix

    return write


def _p_value(value: Any) -> str:
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def _as_text(value: Any) -> str:
    return str(value)


def _flag(value: Any) -> str:
    return "✓" if value else ""


_NUMBERS: dict[str, Callable[[Any], str]] = {
    "text": _as_text,
    "int": _fixed(0),
    "ic": _fixed(3),
    "ic_t": _fixed(3),
    "t": _fixed(1),
    "bps": _fixed(1),
    "percent": _fixed(1, " %", 100.0),
    "number": _fixed(2),
    "p": _p_value,
    "flag": _flag,
}
