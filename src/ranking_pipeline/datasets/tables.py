"""Tidy tables as parquet with page checksums: loaded as frames, or as handles."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic

from ranking_pipeline.datasets.artefact import ArtefactDataset, Loaded
from ranking_pipeline.storage import Manifest, TableHandle, read_table, write_table

if TYPE_CHECKING:
    import pandas as pd
    from kedro_datasets._typing import TablePreview


class _ParquetDataset(ArtefactDataset["pd.DataFrame", Loaded], Generic[Loaded]):
    def _write(self, data: pd.DataFrame, path: Path) -> None:
        write_table(data, path)

    def preview(self, nrows: int = 40) -> TablePreview:
        """Return the first rows for kedro-viz, reading no more than those."""
        import pyarrow.parquet as pq

        with pq.ParquetFile(self.load_path()) as stored:
            head = next(stored.iter_batches(batch_size=nrows), None)
        frame = head.to_pandas() if head is not None else None
        return _split_preview(frame)


class TableDataset(_ParquetDataset["pd.DataFrame"]):
    """A table that loads as a frame."""

    def _read(self, path: Path, manifest: Manifest) -> pd.DataFrame:
        return read_table(path)


class TableHandleDataset(_ParquetDataset[TableHandle]):
    """A large table that loads as a handle (path and content), to be read in parts."""

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
