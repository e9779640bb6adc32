"""Read bars as they are: files, folders of them, wide tables and qlib folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ranking_pipeline.bars.config import ChecksConfig
from ranking_pipeline.bars.field_files import (
    FieldFiles,
    group_fields,
    peek_fields,
    read_fields,
)
from ranking_pipeline.bars.files import SourceFile, list_files, peek_long, read_long
from ranking_pipeline.bars.qlib_bars import inspect_qlib, read_qlib
from ranking_pipeline.bars.reading import Part, Reading, one_line, require_some
from ranking_pipeline.bars.source import is_qlib_folder
from ranking_pipeline.bars.timestamps import parse_stamps, require_zone
from ranking_pipeline.bars.wide import peek_wide, read_header, read_wide, wide_columns
from ranking_pipeline.errors import UserError

__all__ = ["Reading", "inspect_source", "read_bars"]

Unit = SourceFile | FieldFiles


def inspect_source(source: str | Path, config: ChecksConfig) -> None:
    """Check a source from its schemas and first rows, before any work.

    Raises
    ------
    UserError
        The path does not exist or holds no bars, no file can be read, a required column
        is missing, the layout is not clear, there are no rows, or the timestamps have
        no time zone; of a qlib folder: its calendar, its list of instruments or the
        frequency is missing.
    """
    if _is_qlib(source, config):
        require_zone(inspect_qlib(Path(source), config), config, Path(source).name)
        return
    units = group_fields(list_files(source, config), config)
    parts: list[Part] = []
    reasons = []
    for unit in units:
        try:
            head = _peek(unit, config)
        except (OSError, ValueError) as error:
            reasons.append((unit.name, one_line(error)))
            continue
        parts.append(Part(head))
        if len(head):
            parsed = parse_stamps(head["timestamp"], config, unit.name)
            require_zone(parsed, config, unit.name)
    require_some(len(units), parts, reasons, units[0].name)


def read_bars(source: str | Path, config: ChecksConfig) -> tuple[pd.DataFrame, Reading]:
    """Read the rows of a source as they are, before any check.

    A file of a folder that is damaged is left out and named in the result; it is an
    error when no file is left. Files, columns and binaries that hold other symbols
    than ``config.symbols`` are not read.

    Parameters
    ----------
    source
        One of:

        * a parquet or CSV file with one row per bar and a symbol column, or with one
          column per field and symbol (:func:`~ranking_pipeline.bars.wide_names.find_wide`);
        * a folder of such files at any depth. The symbol may also come from a
          ``symbol=`` folder or the file's name, the trading date of daily bars from a
          ``date=`` folder, and of ``interval=`` folders only those of
          ``config.interval`` are read; other ``key=value`` folders are passed through;
        * a folder with one wide file per field;
        * a qlib folder (:func:`~ranking_pipeline.bars.qlib_bars.read_qlib`).

    Returns
    -------
    frame
        Raw bars: symbol (category), timestamp, open, high, low, close, volume,
        [adj_close,] source_file (category), source_row (from 0).
    reading
        Layout, columns ignored, files left out, notes.

    Raises
    ------
    UserError
        As :func:`inspect_source`; or no file holds a symbol of ``config.symbols``.
    """
    if _is_qlib(source, config):
        return read_qlib(Path(source), config)
    units = group_fields(list_files(source, config), config)
    parts: list[Part] = []
    reasons: list[tuple[str, str]] = []
    empty: list[str] = []
    for unit in units:
        try:
            part = _read(unit, config)
        except (OSError, ValueError) as error:
            reasons.append((unit.name, one_line(error)))
            continue
        if part is not None:
            parts.append(part)
            reasons += part.left_out
            empty += [] if len(part.rows) else [unit.name]
    if not parts and len(reasons) < len(units):
        raise _no_such_symbol(units, config, reasons)
    require_some(len(units), parts, reasons, units[0].name)
    reading = Reading(
        Path(source).name,
        tuple(sorted({name for part in parts for name in part.columns_ignored})),
        tuple(reasons),
        " and ".join(sorted({part.layout for part in parts})),
        empty_files=tuple(empty),
    )
    return _join([part.rows for part in parts if len(part.rows)]), reading


def _is_qlib(source: str | Path, config: ChecksConfig) -> bool:
    if config.layout == "auto":
        return is_qlib_folder(Path(source))
    return config.layout == "qlib"


def _peek(unit: Unit, config: ChecksConfig) -> pd.DataFrame:
    if isinstance(unit, FieldFiles):
        return peek_fields(unit, config)
    header = read_header(unit, config)
    wide = wide_columns(unit, header, config)
    if wide is None:
        return peek_long(unit, config)
    return peek_wide(unit, header, wide, config)


def _read(unit: Unit, config: ChecksConfig) -> Part | None:
    if isinstance(unit, FieldFiles):
        return read_fields(unit, config)
    header = read_header(unit, config)
    wide = wide_columns(unit, header, config)
    if wide is not None:
        return read_wide(unit, header, wide, config)
    long = read_long(unit, config)
    return None if long is None else Part(long[0], tuple(long[1]))


def _no_such_symbol(
    units: Sequence[Unit], config: ChecksConfig, reasons: Sequence[tuple[str, str]]
) -> UserError:
    files = [unit for unit in units if isinstance(unit, SourceFile)]
    names = [file.symbol for file in files if file.symbol]
    has = f" It has {len(names)} files, as of {', '.join(names[:5])}." if names else ""
    if reasons:
        has += f" {len(reasons)} cannot be read, as {': '.join(reasons[0])}."
    return UserError(
        f"data.symbols: the source holds none of {', '.join(config.symbols[:10])}.{has} "
        "Symbols are compared letter by letter."
    )


def _join(parts: list[pd.DataFrame]) -> pd.DataFrame:
    if len(parts) == 1:
        return parts[0].reset_index(drop=True)
    _require_adjustment_in_all(parts)
    _align_stamps(parts)
    columns = {
        name: pd.api.types.union_categoricals([_texts(part[name]) for part in parts])
        for name in ("symbol", "source_file")
    }
    joined = pd.concat([part.drop(columns=list(columns)) for part in parts])
    joined = joined.reset_index(drop=True).assign(**columns)
    return joined[parts[0].columns]


def _texts(column: pd.Series) -> pd.Series:
    """A category whose names are text of one dtype, so that parts can be joined."""
    names = pd.Index(column.cat.categories, dtype=str)
    return column.cat.rename_categories(names)


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
