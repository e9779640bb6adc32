"""RawBars: the columns of a source of bars, read one at a time and only when asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from ranking_pipeline.bars.columns import resolve_columns
from ranking_pipeline.bars.config import ChecksConfig
from ranking_pipeline.bars.files import is_text
from ranking_pipeline.bars.readers import read_bars
from ranking_pipeline.bars.reading import Reading
from ranking_pipeline.bars.rules import NUMBERS
from ranking_pipeline.errors import UserError

Column = npt.NDArray[Any] | pd.Series
Positions = npt.NDArray[np.integer]

# A piece of each column fits into the cache of one core.
PIECE_ROWS = 1 << 16


def pieces(n_rows: int) -> Iterator[slice]:
    """Cut n rows into pieces of ``PIECE_ROWS``."""
    for start in range(0, n_rows, PIECE_ROWS):
        yield slice(start, min(start + PIECE_ROWS, n_rows))


@dataclass(frozen=True)
class Keys:
    """One column as positions in its distinct values.

    Attributes
    ----------
    codes : ndarray of int32, shape (n,)
        Position in ``values`` of each row's value; -1 where it is missing.
    values : Series
        The distinct values, each once, in any order.
    """

    codes: npt.NDArray[np.int32]
    values: pd.Series


class RawBars(Protocol):
    """Bars as their source holds them, n rows in source order."""

    @property
    def reading(self) -> Reading:
        """What the reader saw besides the rows."""

    @property
    def n_rows(self) -> int:
        """Number of rows n."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Which of open, high, low, close, volume and adj_close there are."""

    def keys(self, name: str) -> Keys:
        """The column ``symbol`` or ``timestamp``."""

    def numbers(self) -> Iterator[tuple[slice, dict[str, Column]]]:
        """Yield the numeric columns, piece by piece: the rows and their cells."""

    def rows(self, positions: Positions) -> pd.DataFrame:
        """Return the rows at ``positions`` with all their columns, as they are."""


@dataclass(frozen=True)
class FrameBars:
    """Raw bars over a frame, as :func:`~ranking_pipeline.bars.readers.read_bars` gives.

    Parameters
    ----------
    frame
        symbol, timestamp, open, high, low, close, volume, [adj_close,] source_file,
        source_row.
    reading
        What the reader saw besides the rows.
    """

    frame: pd.DataFrame
    reading: Reading

    @property
    def n_rows(self) -> int:
        """Number of rows n."""
        return len(self.frame)

    @property
    def columns(self) -> tuple[str, ...]:
        """Which of our numeric columns there are."""
        return tuple(name for name in NUMBERS if name in self.frame)

    def keys(self, name: str) -> Keys:
        """See :meth:`RawBars.keys`."""
        column = self.frame[name]
        if isinstance(column.dtype, pd.CategoricalDtype):
            stored = column.cat.codes.to_numpy()
            return Keys(stored.astype(np.int32), pd.Series(column.cat.categories))
        codes, values = pd.factorize(column)
        return Keys(codes.astype(np.int32), pd.Series(values))

    def numbers(self) -> Iterator[tuple[slice, dict[str, Column]]]:
        """See :meth:`RawBars.numbers`."""
        columns = {name: _plain_series(self.frame[name]) for name in self.columns}
        for piece in pieces(self.n_rows):
            yield piece, {name: _cut(column, piece) for name, column in columns.items()}

    def rows(self, positions: Positions) -> pd.DataFrame:
        """See :meth:`RawBars.rows`."""
        return self.frame.iloc[positions]


def _plain_series(column: pd.Series) -> Column:
    """The array behind a column of numpy's own numbers; other columns as they are."""
    plain = isinstance(column.dtype, np.dtype) and column.dtype.kind in "fiu"
    return column.to_numpy() if plain else column


def _cut(column: Column, piece: slice) -> Column:
    return column.iloc[piece] if isinstance(column, pd.Series) else column[piece]


@dataclass(frozen=True)
class ParquetBars:
    """Raw bars over one long parquet file: nothing is read before it is asked for.

    Parameters
    ----------
    path
        The file.
    names
        Our column name -> the name in the file.
    reading
        Name of the source and the columns ignored.
    n_rows
        Number of rows.
    """

    path: Path
    names: Mapping[str, str]
    reading: Reading
    n_rows: int

    @property
    def columns(self) -> tuple[str, ...]:
        """Which of our numeric columns there are."""
        return tuple(name for name in NUMBERS if name in self.names)

    def keys(self, name: str) -> Keys:
        """See :meth:`RawBars.keys`."""
        import pyarrow as pa

        theirs = self.names[name]
        with self._open([theirs] if name == "symbol" else []) as stored:
            column = _instants(stored.read(columns=[theirs]).column(0))
        if not pa.types.is_dictionary(column.type):
            column = column.dictionary_encode()
        array = column.unify_dictionaries().combine_chunks()
        codes = array.indices.fill_null(-1).to_numpy().astype(np.int32, copy=False)
        return Keys(codes, array.dictionary.to_pandas())

    def numbers(self) -> Iterator[tuple[slice, dict[str, Column]]]:
        """See :meth:`RawBars.numbers`."""
        theirs = [self.names[name] for name in self.columns]
        with self._open() as stored:
            start = 0
            for batch in stored.iter_batches(PIECE_ROWS, columns=theirs):
                piece = slice(start, start + len(batch))
                yield (
                    piece,
                    {
                        name: _plain_array(batch[self.names[name]])
                        for name in self.columns
                    },
                )
                start = piece.stop

    def rows(self, positions: Positions) -> pd.DataFrame:
        """See :meth:`RawBars.rows`; only the row groups concerned are read."""
        wanted = np.unique(positions)
        with self._open() as stored:
            table = _take(stored, list(self.names.values()), wanted)
        cells = {
            ours: _instants(table.column(theirs)).to_pandas()
            for ours, theirs in self.names.items()
        }
        frame = pd.DataFrame(cells)
        frame["source_file"] = self.path.name
        frame["source_row"] = wanted.astype(np.int64)
        return frame.iloc[np.searchsorted(wanted, positions)]

    @contextmanager
    def _open(self, dictionaries: list[str] | None = None) -> Iterator[Any]:
        import pyarrow.parquet as pq

        try:
            with pq.ParquetFile(
                self.path,
                read_dictionary=dictionaries or None,
                page_checksum_verification=True,
            ) as stored:
                yield stored
        except (OSError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise UserError(
                f"data.source: {self.path.name} cannot be read: {reason}. Copy or "
                "export it again."
            ) from error


def _plain_array(array: Any) -> Column:
    import pyarrow as pa

    kind = array.type
    if array.null_count == 0 and (
        pa.types.is_floating(kind) or pa.types.is_integer(kind)
    ):
        plain: npt.NDArray[Any] = array.to_numpy()
        return plain
    cells: pd.Series = array.to_pandas()
    return cells


def _instants(column: Any) -> Any:
    import pyarrow as pa

    return column.cast(pa.timestamp("s")) if pa.types.is_date(column.type) else column


def _take(stored: Any, columns: list[str], wanted: Positions) -> Any:
    """Rows at the sorted positions ``wanted``, one row group after the other."""
    import pyarrow as pa

    sizes = [
        stored.metadata.row_group(i).num_rows for i in range(stored.num_row_groups)
    ]
    starts = np.cumsum([0, *sizes])
    groups = np.unique(np.searchsorted(starts, wanted, side="right") - 1)
    found = []
    for group in groups.tolist():
        start = int(starts[group])
        for batch in stored.iter_batches(
            PIECE_ROWS, row_groups=[group], columns=columns
        ):
            here = wanted[(wanted >= start) & (wanted < start + len(batch))]
            if len(here):
                found.append(batch.take(pa.array(here - start)))
            start += len(batch)
    if not found:
        return stored.schema_arrow.empty_table().select(columns)
    return pa.Table.from_batches(found)


def open_bars(source: str | Path, config: ChecksConfig) -> RawBars:
    """Open a source of bars; one long parquet file is read lazily, the rest at once.

    Parameters
    ----------
    source, config
        As for :func:`~ranking_pipeline.bars.readers.read_bars`.

    Raises
    ------
    UserError
        As :func:`~ranking_pipeline.bars.readers.read_bars`.
    """
    path = Path(source)
    may_be_long = path.suffix.lower() == ".parquet" and config.layout in {
        "auto",
        "long",
    }
    lazy = _open_long(path, config) if may_be_long else None
    return lazy or FrameBars(*read_bars(source, config))


def _open_long(path: Path, config: ChecksConfig) -> ParquetBars | None:
    """A long parquet file, or None where the readers have to say what is wrong."""
    import pyarrow.parquet as pq

    if not path.is_file():
        return None
    try:
        with pq.ParquetFile(path) as stored:
            schema, n_rows = stored.schema_arrow, stored.metadata.num_rows
        names = resolve_columns(
            schema.names, config.column_map, path.name, symbol_required=True
        )
    except (OSError, ValueError, UserError):
        return None
    if not n_rows or not is_text(schema.field(names["symbol"]).type):
        return None
    ignored = tuple(sorted(set(schema.names) - set(names.values())))
    return ParquetBars(path, names, Reading(path.name, ignored), n_rows)
