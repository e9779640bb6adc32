"""HistoryDataset: every finished version of a table, with what it was made from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.io import AbstractDataset, DatasetError

from ranking_pipeline.storage import read_manifest, read_table, verify_artefact

if TYPE_CHECKING:
    import pandas as pd

Versions = list[tuple[Mapping[str, str], "pd.DataFrame"]]


class HistoryDataset(AbstractDataset[None, Versions]):
    """Read all versions of a versioned table; there may be none.

    Parameters
    ----------
    path : str
        The ``filepath`` of the versioned table, which is the folder of its versions.
    metadata : dict, optional
        Ignored here; read by kedro-viz.
    """

    def __init__(self, *, path: str, metadata: dict[str, Any] | None = None) -> None:
        self._folder = Path(path)
        self.metadata = metadata

    def load(self) -> Versions:
        """Return (digest of each ancestor by name, table), the oldest version first."""
        found = []
        for file in sorted(self._folder.glob(f"*/{self._folder.name}")):
            # a version without a manifest that fits was never finished
            if read_manifest(file) is not None:
                found.append((verify_artefact(file).ancestors, read_table(file)))
        return found

    def save(self, data: None) -> None:
        """Refuse: the versions are written where the table is made."""
        raise DatasetError(f"{self._folder} is read here, and written by its table")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"path": str(self._folder)}
