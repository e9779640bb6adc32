"""The files of a source of bars, and how one parquet or CSV file is read as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ranking_pipeline.bars.columns import refuse_repeated, resolve_columns
from ranking_pipeline.bars.config import ChecksConfig
from ranking_pipeline.bars.csv_text import (
    MISSING_NUMBERS,
    explain_text,
    first_lines,
    refuse_extra_cells,
)
from ranking_pipeline.bars.partitions import (
    length_in_minutes,
    partition_value,
    partitions,
    symbol_of_name,
)
from ranking_pipeline.bars.source import READABLE_SUFFIXES
from ranking_pipeline.errors import UserError

PEEK_ROWS = 20
_TEXT_COLUMNS = ("symbol", "timestamp")


@dataclass(frozen=True)
class SourceFile:
    """One file of a source.

    Attributes
    ----------
    path : Path
    name : str
        Its name in tables: the path below the source.
    symbol, timestamp : str or None
        What the names of its folders, or its own, say of all its rows.
    partitions : mapping of str to str
        Its ``key=value`` folders; never columns.
    """

    path: Path
    name: str
    symbol: str | None = None
    timestamp: str | None = None
    partitions: Mapping[str, str] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """``parquet`` or ``csv``."""
        return self.path.suffix[1:].lower()


def list_files(source: str | Path, config: ChecksConfig) -> list[SourceFile]:
    """List the files of a source in sorted order; a UserError when there are none."""
    root = Path(source)
    if root.is_file():
        if root.suffix.lower() not in READABLE_SUFFIXES:
            raise UserError(
                f"data.source: {root} is neither parquet nor CSV (suffixes "
                f"{', '.join(READABLE_SUFFIXES)}). Convert or rename the file."
            )
        return [SourceFile(root, root.name)]
    if not root.is_dir():
        raise UserError(
            f"data.source: {root} does not exist. Give the path of a parquet or CSV "
            "file, of a folder of them, of a qlib folder, or 'simulated'."
        )
    paths = sorted(p for p in root.rglob("*") if _is_bars_file(p, root))
    files = [_source_file(path, root, config) for path in paths]
    return _of_interval(files, root, config)


def _is_bars_file(path: Path, root: Path) -> bool:
    hidden = any(part[0] in "._" for part in path.relative_to(root).parts)
    readable = path.suffix.lower() in READABLE_SUFFIXES
    return readable and not hidden and path.is_file()


def _source_file(path: Path, root: Path, config: ChecksConfig) -> SourceFile:
    keys = partitions(path)
    symbol = partition_value("symbol", keys, config.column_map)
    date = partition_value("timestamp", keys, config.column_map)
    return SourceFile(
        path,
        path.relative_to(root).as_posix(),
        symbol_of_name(path) if symbol is None else symbol,
        date if config.daily else None,
        keys,
    )


def _of_interval(
    files: Sequence[SourceFile], root: Path, config: ChecksConfig
) -> list[SourceFile]:
    wanted = length_in_minutes(config.interval)
    tags = [file.partitions.get("interval", config.interval) for file in files]
    kept = [f for f, tag in zip(files, tags, strict=True) if _same(tag, wanted)]
    if not kept:
        others = sorted(set(tags))
        found = f": it has interval={', '.join(others)}" if others else ""
        raise UserError(
            f"data.source: the folder {root} holds no parquet or CSV file"
            f" (for interval {config.interval}){found}."
        )
    return kept


def _same(tag: str, wanted: int | None) -> bool:
    return length_in_minutes(tag) == wanted


def peek_long(file: SourceFile, config: ChecksConfig) -> pd.DataFrame:
    """Our columns of the first rows of a file with one row per bar."""
    if file.kind == "csv":
        columns = long_columns(_csv_header(file, config), file, config)
        return _with_partitions(_csv_rows(file, config, columns, PEEK_ROWS), file)
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(file.path) as stored:
        columns = long_columns(stored.schema_arrow.names, file, config)
        _require_text_symbols(stored.schema_arrow, columns, file)
        batch = next(
            stored.iter_batches(PEEK_ROWS, columns=list(columns.values())), None
        )
        table = None if batch is None else pa.Table.from_batches([batch])
    if table is None:
        return pd.DataFrame(columns=["timestamp", *columns])
    frame: pd.DataFrame = table.to_pandas(ignore_metadata=True)
    frame = frame[list(columns.values())].set_axis(list(columns), axis=1)
    return _with_partitions(frame, file)


def read_long(
    file: SourceFile, config: ChecksConfig
) -> tuple[pd.DataFrame, list[str]] | None:
    """Read a file with one row per bar: its rows, and the columns left out.

    Returns None for a file of one symbol that ``data.symbols`` does not name.
    """
    read = _read_csv if file.kind == "csv" else _read_parquet
    result = read(file, config)
    if result is None:
        return None
    frame, extra = result
    frame = _with_partitions(frame, file)
    frame["source_file"] = one_category(file.name, len(frame))
    frame["source_row"] = pd.RangeIndex(len(frame)).to_numpy("int64")
    return frame, extra


def long_columns(
    names: Sequence[str], file: SourceFile, config: ChecksConfig
) -> dict[str, str]:
    """Our columns among the names of a file with one row per bar."""
    elsewhere = set(file.partitions) - set(names)
    column_map = {k: v for k, v in config.column_map.items() if v not in elsewhere}
    return resolve_columns(
        list(names),
        column_map,
        file.name,
        symbol_required=file.symbol is None,
        timestamp_required=file.timestamp is None,
    )


def _with_partitions(frame: pd.DataFrame, file: SourceFile) -> pd.DataFrame:
    """Add the symbol and the stamp that the names of the folders tell."""
    if "symbol" not in frame:
        values = one_category(file.symbol or None, len(frame))
        frame.insert(0, "symbol", pd.Series(values, frame.index))
    if "timestamp" not in frame:
        frame.insert(1, "timestamp", pd.Series(file.timestamp, frame.index, dtype=str))
    return frame


def one_category(name: str | None, count: int) -> pd.Categorical[str]:
    """Repeat one text, or a missing one, as a category."""
    names = pd.Index([] if name is None else [name], dtype=str)
    codes = np.full(count, len(names) - 1, dtype=np.int8)
    return pd.Categorical.from_codes(codes, categories=names)


def _unwanted(
    columns: Mapping[str, str], file: SourceFile, config: ChecksConfig
) -> bool:
    """Whether all rows are of one symbol that was not asked for."""
    one_symbol = "symbol" not in columns and bool(file.symbol)
    return one_symbol and bool(config.symbols) and file.symbol not in config.symbols


def _read_parquet(
    file: SourceFile, config: ChecksConfig
) -> tuple[pd.DataFrame, list[str]] | None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    # A ParquetFile adds no columns from the folders' names, as a dataset would.
    with pq.ParquetFile(file.path, page_checksum_verification=True) as stored:
        schema = stored.schema_arrow
        columns = long_columns(schema.names, file, config)
        _require_text_symbols(schema, columns, file)
        if _unwanted(columns, file, config):
            return None
        table = stored.read(columns=list(columns.values()))
    series: dict[str, pd.Series] = {}
    for ours, theirs in columns.items():
        array = table.column(theirs)
        if pa.types.is_date(array.type):
            array = array.cast(pa.timestamp("ns"))
        if ours == "symbol" and not pa.types.is_dictionary(array.type):
            array = array.dictionary_encode()
        series[ours] = array.to_pandas()
    extra = [name for name in schema.names if name not in columns.values()]
    return pd.DataFrame(series), extra


def _require_text_symbols(
    schema: object, columns: Mapping[str, str], file: SourceFile
) -> None:
    if "symbol" not in columns:
        return
    kind = schema.field(columns["symbol"]).type  # type: ignore[attr-defined]
    if not is_text(kind):
        raise UserError(
            f"{file.name}: the column {columns['symbol']} holds {kind}, not text, so "
            "that tickers such as 0700 or TRUE are lost. Write symbols as text."
        )


def is_text(kind: Any) -> bool:
    """Whether an arrow type is text, however it is stored."""
    import pyarrow as pa

    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    texts = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return any(is_kind(kind) for is_kind in texts)


def _read_csv(
    file: SourceFile, config: ChecksConfig
) -> tuple[pd.DataFrame, list[str]] | None:
    names = _csv_header(file, config)
    columns = long_columns(names, file, config)
    if _unwanted(columns, file, config):
        return None
    extra = [name for name in names if name not in columns.values()]
    refuse_extra_cells(file.path, file.name, len(names))
    return _csv_rows(file, config, columns), extra


def _csv_header(file: SourceFile, config: ChecksConfig) -> list[str]:
    with explain_text(file.path, file.name, config):
        header = pd.read_csv(
            file.path, nrows=0, encoding=config.encoding, dtype=str, index_col=False
        )
    names = list(header.columns)
    # pandas renames what stands twice, and would take the first.
    written = first_lines(file.path, file.name, config, 1)[0]
    refuse_repeated(written, long_columns(names, file, config).values(), file.name)
    return names


def _csv_rows(
    file: SourceFile,
    config: ChecksConfig,
    columns: Mapping[str, str],
    rows: int | None = None,
) -> pd.DataFrame:
    """Read a CSV file; symbols and stamps stay text, no ticker is taken for missing."""
    numeric = [columns[c] for c in columns if c not in _TEXT_COLUMNS]
    with explain_text(file.path, file.name, config):
        frame = pd.read_csv(
            file.path,
            nrows=rows,
            usecols=list(columns.values()),
            dtype={columns[c]: str for c in _TEXT_COLUMNS if c in columns},
            keep_default_na=False,
            na_values={name: MISSING_NUMBERS for name in numeric},
            encoding=config.encoding,
            low_memory=False,
            index_col=False,
        )
    frame = frame[list(columns.values())].set_axis(list(columns), axis=1)
    if "symbol" in frame:
        frame["symbol"] = frame["symbol"].astype("category")
    return frame
