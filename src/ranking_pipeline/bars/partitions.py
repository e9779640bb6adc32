"""What the names of folders and files say of the bars in them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote

from ranking_pipeline.bars.columns import ALIASES, normal_name

_HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"
_UNITS = {"m": 1, "min": 1, "minute": 1, "h": 60, "hour": 60, "d": 1440, "day": 1440}
# Names that writers of partitioned tables give to files; no ticker looks like them.
_NUMBERED_FILE = re.compile(
    r"part[-_.]?\d.*|(?:data|chunk|file)[-_.]\d+|[0-9a-f]{32}(?:-\d+)?"
    r"|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}.*"
)


def partitions(path: Path) -> dict[str, str]:
    """Read the ``key=value`` folders above a file as text, undoing URL escapes.

    A key without a value, and Hive's word for a missing one, give the empty text.
    """
    pairs = (part.split("=", 1) for part in path.parts[:-1] if "=" in part)
    found = {unquote(key): unquote(value) for key, value in pairs}
    return {k: "" if value == _HIVE_NULL else value for k, value in found.items()}


def partition_value(
    wanted: str, keys: Mapping[str, str], column_map: Mapping[str, str]
) -> str | None:
    """Find our ``symbol`` or ``timestamp`` among partitions; None where it is not."""
    if wanted in column_map:
        return keys.get(column_map[wanted])
    for candidates in ((wanted,), ALIASES[wanted]):
        for key, value in keys.items():
            if normal_name(key) in candidates:
                return value
    return None


def symbol_of_name(path: Path) -> str | None:
    """Read a symbol off a file's name; None for names such as ``part-0``."""
    stem = path.name[: -len(path.suffix)]
    return None if _NUMBERED_FILE.fullmatch(stem) else unquote(stem)


def length_in_minutes(text: str) -> int | None:
    """Length of a bar spelled as 5m, 5min, 60min, 1h, 1d or day; None if unknown."""
    match = re.fullmatch(r"(\d*)(\D+?)s?", text)
    if match is None or match[2] not in _UNITS:
        return None
    return int(match[1] or 1) * _UNITS[match[2]]
