"""Tidy tables as parquet with page checksums: loaded as frames, or as handles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic

from kedro.io import DatasetError, Version
from kedro.utils import load_obj

from ranking_pipeline.datasets.artefact import ArtefactDataset, Loaded
from ranking_pipeline.storage import (
    Manifest,
    TableHandle,
    TableStream,
    read_table,
    write_table,
)

if TYPE_CHECKING:
    import pandas as pd
    from kedro_datasets._typing import TablePreview


class _ParquetDataset(ArtefactDataset["pd.DataFrame", Loaded], Generic[Loaded]):
    def preview(self, nrows: int = 40) -> TablePreview:
        """Return the first rows for kedro-viz, reading no more than those."""
        import pyarrow.parquet as pq

        with pq.ParquetFile(self.load_path()) as stored:
            head = next(stored.iter_batches(batch_size=nrows), None)
        frame = head.to_pandas() if head is not None else None
        return _split_preview(frame)


class TableDataset(_ParquetDataset["pd.DataFrame"]):
    """A table that loads as a frame."""

    def _write(self, data: pd.DataFrame, path: Path) -> None:
        write_table(data, path)

    def _read(self, path: Path, manifest: Manifest) -> pd.DataFrame:
        return read_table(path)


class CsvDataset(ArtefactDataset["pd.DataFrame", "pd.DataFrame"]):
    """A table for other programs: comma-separated text, numbers in full.

    Parameters
    ----------
    filepath, version, metadata
        As of every artefact.
    text : list of str, optional
        Columns that are text whatever they look like: 000001 is a ticker.
    """

    def __init__(
        self,
        *,
        filepath: str,
        text: Sequence[str] = (),
        version: Version | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(filepath=filepath, version=version, metadata=metadata)
        self._text = tuple(text)

    def _write(self, data: pd.DataFrame, path: Path) -> None:
        data.to_csv(path, index=False)

    def _read(self, path: Path, manifest: Manifest) -> pd.DataFrame:
        import pandas as pd
        from pandas.api.types import is_numeric_dtype

        # A symbol called NA is a name; an empty field is a missing number or no text.
        table = pd.read_csv(
            path,
            keep_default_na=False,
            na_values=[""],
            dtype=dict.fromkeys(self._text, "str"),
        )
        text = {name: "" for name in table if not is_numeric_dtype(table[name])}
        return table.fillna(text)

    def preview(self, nrows: int = 40) -> TablePreview:
        """Return the first rows for kedro-viz."""
        return _split_preview(self.load().head(nrows))


class IndexedTableDataset(ArtefactDataset["pd.DataFrame", "pd.DataFrame"]):
    """A table with its index in the file, for programs that expect one there."""

    def _write(self, data: pd.DataFrame, path: Path) -> None:
        data.to_parquet(path)

    def _read(self, path: Path, manifest: Manifest) -> pd.DataFrame:
        import pandas as pd

        return pd.read_parquet(path)

    def preview(self, nrows: int = 40) -> TablePreview:
        """Return the first rows for kedro-viz."""
        return _split_preview(self.load().head(nrows).reset_index())


class TableHandleDataset(_ParquetDataset[TableHandle]):
    """A large table that loads as a handle (path and content), to be read in parts.

    It is saved from a frame, or from a :class:`~ranking_pipeline.storage.TableStream`
    that makes it block by block.

    Parameters
    ----------
    filepath, version, metadata
        As of every artefact.
    schema : str, optional
        Import path of the schema that every block must satisfy. Keys (timestamp,
        symbol) must rise from block to block.
    """

    def __init__(
        self,
        *,
        filepath: str,
        schema: str | None = None,
        version: Version | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(filepath=filepath, version=version, metadata=metadata)
        self._schema = schema

    def _write(self, data: pd.DataFrame | TableStream, path: Path) -> None:
        blocks = data.blocks() if isinstance(data, TableStream) else iter([data])
        write_table(self._checked(blocks), path)

    def _checked(self, blocks: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        if self._schema is None:
            yield from blocks
            return
        schema, last = load_obj(self._schema), None
        for block in blocks:
            schema.validate(block)
            if block.empty:
                yield block
                continue
            first = block["timestamp"].iloc[0]
            if last is not None and first <= last:
                raise DatasetError(
                    f"{self._filepath}: a block begins at {first}, the one before it "
                    f"ends at {last}"
                )
            last = block["timestamp"].iloc[-1]
            yield block

    def _read(self, path: Path, manifest: Manifest) -> TableHandle:
        return TableHandle(str(path), manifest.sha256)


def _split_preview(frame: pd.DataFrame | None) -> Any:
    """A frame in pandas' ``split`` layout with JSON-safe cells."""
    if frame is None:
        return {"index": [], "columns": [], "data": []}
    import json

    layout = json.loads(
        frame.to_json(orient="split", date_format="iso", double_precision=6)
    )
    return {
        "index": layout["index"],
        "columns": layout["columns"],
        "data": layout["data"],
    }
