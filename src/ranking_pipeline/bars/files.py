"""The files of a source of bars, and how one parquet or CSV file is read as it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import pandas as pd

from ranking_pipeline.bars.columns import resolve_columns
from ranking_pipeline.bars.config import ChecksConfig
from ranking_pipeline.bars.source import READABLE_SUFFIXES
from ranking_pipeline.errors import UserError

_MISSING_NUMBERS = ["", "NA", "N/A", "NaN", "nan", "NULL", "null", "None"]
_TEXT_COLUMNS = ("symbol", "timestamp")
_PEEK_ROWS = 20


@dataclass(frozen=True)
class SourceFile:
    """One file of a source: where it lies, its name in tables, its own symbol."""

    path: Path
    name: str
    symbol: str | None

    @property
    def kind(self) -> str:
        """``parquet`` or ``csv``."""
        return self.path.suffix[1:]


def list_files(source: str | Path, config: ChecksConfig) -> list[SourceFile]:
    """List the files of a source in sorted order; a UserError when there are none."""
    root = Path(source)
    if root.is_file():
        if root.suffix not in READABLE_SUFFIXES:
            raise UserError(
                f"data.source: {root} is neither parquet nor CSV (suffixes "
                f"{', '.join(READABLE_SUFFIXES)}). Convert or rename the file."
            )
        return [SourceFile(root, root.name, None)]
    if not root.is_dir():
        raise UserError(
            f"data.source: {root} does not exist. Give the path of a parquet or CSV "
            "file, or of a folder of them, or 'simulated'."
        )
    paths = sorted(p for p in root.rglob("*") if _is_bars_file(p, root))
    paths = _of_interval(paths, config)
    if not paths:
        raise UserError(
            f"data.source: the folder {root} holds no parquet or CSV file"
            f" (for interval {config.interval})."
        )
    return [SourceFile(p, p.relative_to(root).as_posix(), _symbol_of(p)) for p in paths]


def _is_bars_file(path: Path, root: Path) -> bool:
    hidden = any(part[0] in "._" for part in path.relative_to(root).parts)
    return path.suffix in READABLE_SUFFIXES and not hidden and path.is_file()


def _of_interval(paths: Sequence[Path], config: ChecksConfig) -> list[Path]:
    wanted = f"interval={config.interval}"
    tagged = [p for p in paths if any(x.startswith("interval=") for x in p.parts)]
    return [p for p in paths if p not in set(tagged) or wanted in p.parts]


def _symbol_of(path: Path) -> str:
    for part in path.parts[:-1]:
        if part.startswith("symbol="):
            return unquote(part.removeprefix("symbol="))
    return unquote(path.name[: -len(path.suffix)])


def peek(file: SourceFile, config: ChecksConfig) -> pd.DataFrame:
    """Our columns of the first rows of a file."""
    if file.kind == "csv":
        return _read_csv(file, config, rows=_PEEK_ROWS)[0]
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(file.path) as stored:
        columns = _columns(stored.schema_arrow.names, file, config)
        _require_text_symbols(stored.schema_arrow, columns, file)
        batch = next(
            stored.iter_batches(_PEEK_ROWS, columns=list(columns.values())), None
        )
        table = None if batch is None else pa.Table.from_batches([batch])
    if table is None:
        return pd.DataFrame(columns=list(columns))
    frame: pd.DataFrame = table.to_pandas()[list(columns.values())]
    return frame.set_axis(list(columns), axis=1)


def read_file(file: SourceFile, config: ChecksConfig) -> tuple[pd.DataFrame, list[str]]:
    """Read one file as it is: its rows, numbered from 0, and the columns left out."""
    read = _read_csv if file.kind == "csv" else _read_parquet
    frame, extra = read(file, config)
    if "symbol" not in frame:
        frame["symbol"] = pd.Categorical([file.symbol] * len(frame))
        frame = frame[["symbol", *frame.columns[:-1]]]
    frame["source_file"] = pd.Categorical.from_codes(
        [0] * len(frame), categories=pd.Index([file.name], dtype=str)
    )
    frame["source_row"] = pd.RangeIndex(len(frame)).to_numpy("int64")
    return frame, extra


def _columns(
    names: Sequence[str], file: SourceFile, config: ChecksConfig
) -> dict[str, str]:
    return resolve_columns(
        list(names), config.column_map, file.name, symbol_required=file.symbol is None
    )


def _read_parquet(
    file: SourceFile, config: ChecksConfig
) -> tuple[pd.DataFrame, list[str]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    # A ParquetFile adds no columns from the folders' names, as a dataset would.
    with pq.ParquetFile(file.path, page_checksum_verification=True) as stored:
        schema = stored.schema_arrow
        columns = _columns(schema.names, file, config)
        _require_text_symbols(schema, columns, file)
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
    schema: object, columns: dict[str, str], file: SourceFile
) -> None:
    import pyarrow as pa

    if "symbol" not in columns:
        return
    kind = schema.field(columns["symbol"]).type  # type: ignore[attr-defined]
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise UserError(
            f"{file.name}: the column {columns['symbol']} holds {kind}, not text, so "
            "that tickers such as 0700 or TRUE are lost. Write symbols as text."
        )


def _read_csv(
    file: SourceFile, config: ChecksConfig, rows: int | None = None
) -> tuple[pd.DataFrame, list[str]]:
    """Read a CSV file; symbols and stamps stay text, no ticker is taken for missing."""
    try:
        header = pd.read_csv(
            file.path, nrows=0, encoding=config.encoding, dtype=str, index_col=False
        )
        columns = _columns(list(header.columns), file, config)
        numeric = [columns[c] for c in columns if c not in _TEXT_COLUMNS]
        frame = pd.read_csv(
            file.path,
            nrows=rows,
            usecols=list(columns.values()),
            dtype={columns[c]: str for c in _TEXT_COLUMNS if c in columns},
            keep_default_na=False,
            na_values={name: _MISSING_NUMBERS for name in numeric},
            encoding=config.encoding,
            low_memory=False,
            index_col=False,
        )
    except UnicodeDecodeError as error:
        raise UserError(_encoding_message(file, config, error)) from error
    except LookupError as error:
        raise UserError(f"data.encoding: {config.encoding!r} is unknown.") from error
    extra = [name for name in header.columns if name not in columns.values()]
    frame = frame[list(columns.values())].set_axis(list(columns), axis=1)
    if "symbol" in frame:
        frame["symbol"] = frame["symbol"].astype("category")
    return frame, extra


def _encoding_message(
    file: SourceFile, config: ChecksConfig, error: UnicodeDecodeError
) -> str:
    offset = error.start
    try:
        file.path.read_bytes().decode(config.encoding)
    except UnicodeDecodeError as whole:
        offset = whole.start
    return (
        f"{file.name} is not {config.encoding}: byte {offset} cannot be decoded. "
        "Set data.encoding (for example latin-1) or save the file as UTF-8."
    )
