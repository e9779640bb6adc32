"""Plain values: parts of an origin as JSON that people can read and compare."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

_ABSENT = "absent"


def plain(value: Any) -> Any:
    """Give a value as JSON, the same before and after it was a file.

    Raises
    ------
    TypeError
        For what has no exact text, such as an array or a frame: its content would not
        be part of the key.
    """
    if isinstance(value, np.generic):
        return plain(value.item() if value.dtype.kind in "biuf" else str(value))
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, Mapping):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, float | date | Path):  # a Timestamp is a date
        return str(value)
    raise TypeError(f"a {type(value).__name__} cannot be part of a cache key.")


def differences(old: Any, new: Any, name: str = "") -> Iterator[str]:
    """Yield how two plain values differ, as ``name: old -> new``."""
    if isinstance(old, dict) and isinstance(new, dict):
        for part in sorted(old.keys() | new.keys()):
            place = f"{name}.{part}" if name else part
            yield from differences(
                old.get(part, _ABSENT), new.get(part, _ABSENT), place
            )
    elif old != new:
        yield f"{name}: {_short(old)} -> {_short(new)}"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:12]}…"
