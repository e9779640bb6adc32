"""CounterDataset: how often something was done, by content."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.io import AbstractDataset

from ranking_pipeline.storage import write_artefact

if TYPE_CHECKING:
    from kedro_datasets._typing import JSONPreview


class CounterDataset(AbstractDataset[str, dict[str, Any]]):
    """Count saves per key; a load returns the newest key with its count.

    Parameters
    ----------
    filepath : str
        JSON file that holds the counts; it outlives runs.
    metadata : dict, optional
        Ignored here; read by kedro-viz.
    """

    def __init__(
        self, *, filepath: str, metadata: dict[str, Any] | None = None
    ) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def save(self, data: str) -> None:
        """Add one to the count of the key ``data``."""
        counts = self._counts()
        newest = {"key": data, "counts": {**counts, data: counts.get(data, 0) + 1}}
        write_artefact(
            self._filepath,
            lambda path: _dump(newest, path),
        )

    def load(self) -> dict[str, Any]:
        """Return ``{"key": newest key, "count": its count}``."""
        stored = json.loads(self._filepath.read_text("utf-8"))
        return {"key": stored["key"], "count": stored["counts"][stored["key"]]}

    def preview(self) -> JSONPreview:
        """Return the newest key and all counts for kedro-viz."""
        return json.dumps(json.loads(self._filepath.read_text("utf-8")))

    def _counts(self) -> dict[str, int]:
        if not self._filepath.exists():
            return {}
        counts: dict[str, int] = json.loads(self._filepath.read_text("utf-8"))["counts"]
        return counts

    def _exists(self) -> bool:
        return self._filepath.exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}


def _dump(value: Any, path: Path) -> None:
    path.write_text(json.dumps(value, indent=2), encoding="utf-8")
