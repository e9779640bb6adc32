"""PlainFileDataset: what datasets share that are no artefacts but a file at its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from kedro.io import AbstractDataset

Saved = TypeVar("Saved")
Loaded = TypeVar("Loaded")


class PlainFileDataset(AbstractDataset[Saved, Loaded]):
    """One file or folder without versions and without a manifest.

    Parameters
    ----------
    filepath : str
    metadata : dict, optional
        Ignored here; read by kedro-viz.
    """

    def __init__(
        self, *, filepath: str, metadata: dict[str, Any] | None = None
    ) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def _exists(self) -> bool:
        return self._filepath.exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
