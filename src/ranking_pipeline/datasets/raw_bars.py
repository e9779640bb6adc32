"""The raw bars: a user's file or folder, or the simulated market."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.io import AbstractDataset, DatasetError

from ranking_pipeline.bars.source import BarSource

if TYPE_CHECKING:
    from kedro_datasets._typing import JSONPreview


class RawBarsDataset(AbstractDataset[None, BarSource]):
    """Where the bars come from; reading them is the first node's work.

    Parameters
    ----------
    source : str
        ``simulated``, or the path of a parquet or CSV file, or of a folder of them.
    metadata : dict, optional
        Ignored here; read by kedro-viz.
    """

    def __init__(self, *, source: str, metadata: dict[str, Any] | None = None) -> None:
        self._source = BarSource(source)
        self.metadata = metadata

    def load(self) -> BarSource:
        """Return the source."""
        return self._source

    def save(self, data: None) -> None:
        """Raw bars are never written."""
        raise DatasetError("raw bars are read only")

    def preview(self) -> JSONPreview:
        """Return the name of the source for kedro-viz, without its folder."""
        return json.dumps({"source": Path(self._source.location).name})

    def _exists(self) -> bool:
        return self._source.simulated or Path(self._source.location).exists()

    def _describe(self) -> dict[str, Any]:
        return {"source": self._source.location}
