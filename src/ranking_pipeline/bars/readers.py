"""Read bars as they are: a parquet or CSV file, or a folder of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ranking_pipeline.bars.config import ChecksConfig
from ranking_pipeline.bars.files import SourceFile, list_files, peek, read_file
from ranking_pipeline.bars.timestamps import parse_stamps, require_zone
from ranking_pipeline.errors import UserError


@dataclass(frozen=True)
class Reading:
    """What a reader saw besides the rows.

    Attributes
    ----------
    source : str
        Name of the file or folder, without its path.
    columns_ignored : tuple of str
        Columns that are none of ours.
    unreadable_files : tuple of (str, str)
        Files of a folder that could not be read, each with the reason.
    """

    source: str
    columns_ignored: tuple[str, ...] = ()
    unreadable_files: tuple[tuple[str, str], ...] = ()


def inspect_source(source: str | Path, config: ChecksConfig) -> None:
    """Check a source from its schemas and first rows, before any work.

    Raises
    ------
    UserError
        The path does not exist or holds no bars, no file can be read, a required column
        is missing, there are no rows, or the timestamps have no time zone.
    """
    files, readable, rows = list_files(source, config), 0, 0
    reasons = []
    for file in files:
        try:
            head = peek(file, config)
        except (OSError, ValueError) as error:
            reasons.append((file.name, _one_line(error)))
            continue
        readable += 1
        rows += len(head)
        if len(head):
            parsed = parse_stamps(head["timestamp"], config, file.name)
            require_zone(parsed, config, file.name)
    _require_some(files, readable, rows, reasons)


def read_bars(source: str | Path, config: ChecksConfig) -> tuple[pd.DataFrame, Reading]:
    """Read the rows of a source as they are, before any check.

    A file of a folder that is damaged is left out and named in the result; it is an
    error when no file is left.

    Parameters
    ----------
    source
        A parquet or CSV file with a symbol column, or a folder of such files. In a
        folder the symbol may also come from a ``symbol=`` folder or the file's name,
        and of ``interval=`` folders only that of ``config.interval`` is read.

    Returns
    -------
    frame
        Raw bars: symbol (category), timestamp, open, high, low, close, volume,
        [adj_close,] source_file (category), source_row (from 0).
    reading
        Columns ignored and files left out.

    Raises
    ------
    UserError
        As :func:`inspect_source`.
    """
    files = list_files(source, config)
    parts: list[pd.DataFrame] = []
    ignored: set[str] = set()
    reasons: list[tuple[str, str]] = []
    for file in files:
        try:
            part, extra = read_file(file, config)
        except (OSError, ValueError) as error:
            reasons.append((file.name, _one_line(error)))
            continue
        parts.append(part)
        ignored.update(extra)
    _require_some(files, len(parts), sum(map(len, parts)), reasons)
    reading = Reading(Path(source).name, tuple(sorted(ignored)), tuple(reasons))
    return _join([part for part in parts if len(part)]), reading


def _require_some(
    files: Sequence[SourceFile],
    readable: int,
    rows: int,
    reasons: list[tuple[str, str]],
) -> None:
    if not readable:
        name, reason = reasons[0]
        raise UserError(
            f"data.source: none of {len(files)} file(s) can be read; {name}: {reason}. "
            "Copy or export it again."
        )
    if not rows:
        raise UserError(
            f"data.source: {files[0].name} has the right columns but zero rows"
            f"{'' if len(files) == 1 else f', as have all {len(files)} files'}. "
            "Export it again with data."
        )


def _join(parts: list[pd.DataFrame]) -> pd.DataFrame:
    if len(parts) == 1:
        return parts[0].reset_index(drop=True)
    _require_adjustment_in_all(parts)
    _align_stamps(parts)
    for part in parts:
        for name in ("symbol", "source_file"):
            part[name] = part[name].astype(str).where(part[name].notna())
    joined = pd.concat(parts, ignore_index=True)
    for name in ("symbol", "source_file"):
        joined[name] = joined[name].astype("category")
    return joined


def _require_adjustment_in_all(parts: list[pd.DataFrame]) -> None:
    """Refuse to let adjusted and unadjusted prices meet in one universe."""
    having = [part for part in parts if "adj_close" in part]
    lacking = [part for part in parts if "adj_close" not in part]
    if having and lacking:
        raise UserError(
            f"{having[0]['source_file'].iloc[0]} has a column adj_close and "
            f"{lacking[0]['source_file'].iloc[0]} has none: their returns "
            "would not compare. Give it to all files or to none."
        )


def _align_stamps(parts: list[pd.DataFrame]) -> None:
    """Give the stamps of all files one type, in place."""
    zones = [isinstance(part["timestamp"].dtype, pd.DatetimeTZDtype) for part in parts]
    plain = [part["timestamp"].dtype.kind == "M" for part in parts]
    if any(zones) and not all(zones):
        aware = parts[zones.index(True)]["source_file"].iloc[0]
        other = parts[zones.index(False)]["source_file"].iloc[0]
        raise UserError(
            f"The timestamps of {aware} carry a time zone and those of {other} do not. "
            "Write all files in the same way."
        )
    if all(zones):
        for part in parts:
            part["timestamp"] = part["timestamp"].dt.tz_convert("UTC")
    elif any(plain) and not all(plain):
        for part in parts:
            part["timestamp"] = part["timestamp"].astype(str)


def _one_line(error: Exception) -> str:
    return re.sub(r"\s+", " ", str(error)).strip()[:200] or type(error).__name__
