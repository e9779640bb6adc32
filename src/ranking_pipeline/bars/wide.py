"""Wide tables: one column per field and symbol, stacked into one row per bar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.bars.columns import find_column, shown
from ranking_pipeline.bars.config import ChecksConfig
from ranking_pipeline.bars.csv_text import MISSING_NUMBERS, explain_text, first_lines
from ranking_pipeline.bars.files import (
    PEEK_ROWS,
    SourceFile,
    long_columns,
    one_category,
)
from ranking_pipeline.bars.reading import Part
from ranking_pipeline.bars.rules import PRICES
from ranking_pipeline.bars.wide_names import (
    REQUIRED,
    Name,
    WideColumns,
    field_of,
    find_wide,
    half_wide,
)
from ranking_pipeline.errors import UserError

Matrix = npt.NDArray[Any]


@dataclass(frozen=True)
class Header:
    """The columns' names of a file, and how many lines of text they take."""

    names: tuple[Name, ...]
    lines: int = 1

    @property
    def texts(self) -> list[str]:
        """The names as plain text."""
        return [name if isinstance(name, str) else str(name) for name in self.names]


def read_header(file: SourceFile, config: ChecksConfig) -> Header:
    """Read the names of a file's columns, also from the two lines that pandas writes.

    Raises
    ------
    OSError, ValueError
        The file is damaged or empty.
    """
    if file.kind == "parquet":
        import pyarrow.parquet as pq

        return Header(tuple(pq.read_schema(file.path).names))
    lines = first_lines(file.path, file.name, config, 3)
    return _two_lines(lines, config, file.name) or Header(tuple(lines[0]))


def _two_lines(
    lines: Sequence[Sequence[str]], config: ChecksConfig, where: str
) -> Header | None:
    """Read field and symbol off two lines; None where the second line holds data."""
    if len(lines) < 2 or len(lines[0]) != len(lines[1]) or _is_stamp(lines[1][0]):
        return None
    names: list[Name] = list(zip(lines[0], lines[1], strict=True))
    named_index = len(lines) > 2 and bool(lines[2][0]) and not any(lines[2][1:])
    if not any(
        field_of(word, config.column_map) for word in (lines[0][0], lines[1][0])
    ):
        candidates = [lines[2][0]] if named_index else []
        names[0] = _index_name([*candidates, lines[0][0], lines[1][0]], config)
    if find_wide(names, config.column_map, where) is None:
        return None
    return Header(tuple(names), 3 if named_index else 2)


def _is_stamp(cell: str) -> bool:
    number = pd.to_numeric(pd.Series([cell]), errors="coerce").notna().iloc[0]
    stamp = pd.to_datetime(pd.Series([cell]), errors="coerce", format="mixed", utc=True)
    return bool(number or stamp.notna().iloc[0])


def _index_name(candidates: Sequence[str], config: ChecksConfig) -> str:
    """The name of the stamps among those of an index and of the levels above it."""
    wanted = config.column_map.get("timestamp")
    for name in candidates:
        if name == wanted or (
            wanted is None and find_column("timestamp", [name], {}, "")
        ):
            return name
    return ""


def wide_columns(
    file: SourceFile, header: Header, config: ChecksConfig
) -> WideColumns | None:
    """Decide whether a file is wide; None = it has one row per bar.

    Raises
    ------
    UserError
        The names fit both layouts, or not the one that ``data.layout`` asks for, or
        they are those of a wide table without one of the fields.
    """
    if config.layout == "long":
        return None
    wide = find_wide(header.names, config.column_map, file.name)
    if wide is None:
        _refuse_half_wide(file, header, config)
        return None
    if header.lines > 1 or config.layout == "wide":
        return wide
    if _has_symbols(file, header, config):
        return None
    if is_long(file, header, config):
        raise UserError(
            f"{file.name} can be read with one row per bar and with one column per "
            f"field and symbol (as of {shown(wide.symbols)}). Say which: data.layout: "
            "long, or data.layout: wide."
        )
    return wide


def _refuse_half_wide(file: SourceFile, header: Header, config: ChecksConfig) -> None:
    if config.layout == "wide":
        raise UserError(
            f"data.layout is wide, but {file.name} has no symbol with the columns "
            f"{', '.join(REQUIRED)}, as AAPL_close or close/AAPL (or give a folder of "
            f"files named {', '.join(REQUIRED)}). Found: {shown(header.texts)}."
        )
    lacking = half_wide(header.names, config.column_map)
    if lacking and not _has_symbols(file, header, config):
        close = find_column("close", header.texts, {}, file.name)
        if close is None:
            raise UserError(
                f"{file.name} has columns for each field and symbol, but for no symbol "
                f"all of {', '.join(REQUIRED)}: there is no {lacking}. Found: "
                f"{shown(header.texts)}. If a field has another word, say so: "
                f"data.column_map: {{{lacking.split(',')[0]}: word}}."
            )


def _has_symbols(file: SourceFile, header: Header, config: ChecksConfig) -> bool:
    """Whether a plain column holds symbols, which no wide table has."""
    named = config.column_map.get("symbol")
    if named is not None:
        return named in header.texts
    try:
        return find_column("symbol", header.texts, {}, file.name) is not None
    except UserError:
        return True


def is_long(file: SourceFile, header: Header, config: ChecksConfig) -> bool:
    """Whether a file has all columns of one row per bar."""
    try:
        long_columns(header.texts, file, config)
    except UserError:
        return False
    return True


def peek_wide(
    file: SourceFile, header: Header, wide: WideColumns, config: ChecksConfig
) -> pd.DataFrame:
    """The first stamps of a wide file."""
    first = read_positions(file, header, [], wide.timestamp, config, rows=PEEK_ROWS)
    return first.set_axis(["timestamp"], axis=1)


def read_wide(
    file: SourceFile, header: Header, wide: WideColumns, config: ChecksConfig
) -> Part | None:
    """Read a wide file; None where it has none of the symbols asked for."""
    symbols = [s for s in wide.symbols if not config.symbols or s in config.symbols]
    if not symbols:
        return None
    has_adjusted = [("adj_close", symbol) in wide.cells for symbol in symbols]
    require_adjustment(dict(zip(symbols, has_adjusted, strict=True)), file.name)
    fields = [*REQUIRED, *(["adj_close"] if all(has_adjusted) else [])]
    places = {f: [wide.cells[f, symbol] for symbol in symbols] for f in fields}
    positions = [position for where in places.values() for position in where]
    table = read_positions(file, header, positions, wide.timestamp, config)
    rows = stack(
        table[wide.timestamp],
        {name: matrix(table[where]) for name, where in places.items()},
        symbols,
        file.name,
    )
    return Part(rows, wide.ignored, _named(wide.incomplete, file), "wide")


def _named(
    incomplete: Sequence[tuple[str, str]], file: SourceFile
) -> tuple[tuple[str, str], ...]:
    return tuple((f"{file.name}: {symbol}", reason) for symbol, reason in incomplete)


def require_adjustment(has_adjusted: Mapping[str, bool], where: str) -> None:
    """Refuse adjusted and unadjusted prices in one universe."""
    lacking = [symbol for symbol, has in has_adjusted.items() if not has]
    if lacking and len(lacking) < len(has_adjusted):
        having = next(symbol for symbol, has in has_adjusted.items() if has)
        raise UserError(
            f"{where}: {having} has a column adj_close and {lacking[0]} has none: their "
            "returns would not compare. Give it to all symbols or to none."
        )


def read_positions(
    file: SourceFile,
    header: Header,
    positions: Sequence[int],
    timestamp: int,
    config: ChecksConfig,
    rows: int | None = None,
) -> pd.DataFrame:
    """Read columns by their places; the stamps of a CSV file stay text.

    Returns
    -------
    DataFrame, one column per position, named by it, that of the stamps first.
    """
    wanted = [timestamp, *positions]
    read = _csv_positions if file.kind == "csv" else _parquet_positions
    return read(file, header, wanted, config, rows)


def _csv_positions(
    file: SourceFile,
    header: Header,
    wanted: Sequence[int],
    config: ChecksConfig,
    rows: int | None,
) -> pd.DataFrame:
    missing: dict[Any, list[str]] = dict.fromkeys(wanted[1:], MISSING_NUMBERS)
    with explain_text(file.path, file.name, config):
        table = pd.read_csv(
            file.path,
            header=None,
            skiprows=header.lines,
            names=list(range(len(header.names))),
            usecols=list(wanted),
            nrows=rows,
            dtype={wanted[0]: str},
            keep_default_na=False,
            na_values=missing,
            encoding=config.encoding,
            low_memory=False,
            index_col=False,
        )
    return table.reindex(columns=list(wanted))


def _parquet_positions(
    file: SourceFile,
    header: Header,
    wanted: Sequence[int],
    config: ChecksConfig,
    rows: int | None,
) -> pd.DataFrame:
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = [header.texts[position] for position in wanted]
    with pq.ParquetFile(file.path, page_checksum_verification=True) as stored:
        if rows is None:
            data = stored.read(columns=names)
        else:
            batches = list(islice(stored.iter_batches(rows, columns=names), 1))
            empty = stored.schema_arrow.empty_table().select(names)
            data = pa.Table.from_batches(batches) if batches else empty
    stamps = data.column(0)
    if pa.types.is_date(stamps.type):
        data = data.set_column(0, names[0], stamps.cast(pa.timestamp("ns")))
    table: pd.DataFrame = data.to_pandas(ignore_metadata=True)
    return table.set_axis(list(wanted), axis=1)


def matrix(columns: pd.DataFrame) -> Matrix:
    """Columns as one array, shape (T, S); of objects where a cell is no number."""
    numeric = [
        pd.api.types.is_numeric_dtype(kind) and not pd.api.types.is_bool_dtype(kind)
        for kind in columns.dtypes
    ]
    return columns.to_numpy() if all(numeric) else columns.astype(object).to_numpy()


def stack(
    stamps: pd.Series, fields: Mapping[str, Matrix], symbols: Sequence[str], name: str
) -> pd.DataFrame:
    """Turn one column per symbol into one row per bar, symbol after symbol.

    A cell without any price, and with no volume or a volume of 0, is an absent bar.

    Parameters
    ----------
    stamps : Series, shape (T,)
    fields : mapping of arrays, each of shape (T, S)
    symbols
        S names.
    name
        Source file of the rows.
    """
    empty = np.logical_and.reduce([pd.isna(fields[price]) for price in PRICES])
    quiet = pd.isna(fields["volume"]) | (fields["volume"] == 0)
    symbol, bar = np.nonzero(~(empty & quiet).T)
    table: dict[str, Any] = {
        "symbol": pd.Categorical.from_codes(symbol, pd.Index(symbols, dtype=str)),
        "timestamp": stamps.iloc[bar].reset_index(drop=True),
    }
    for field, values in fields.items():
        table[field] = values[bar, symbol]
    table["source_file"] = one_category(name, len(bar))
    table["source_row"] = bar.astype("int64")
    return pd.DataFrame(table)
