"""CounterDataset: how often something was done, by content."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ranking_pipeline.datasets.sealed_file import SealedFileDataset

if TYPE_CHECKING:
    from kedro_datasets._typing import JSONPreview


class CounterDataset(SealedFileDataset[str, dict[str, Any]]):
    """Count saves per key; a load returns the newest key with its count.

    Parameters
    ----------
    filepath : str
        JSON file that holds the counts; it outlives runs.
    """

    content, lost = "counts", "openings"

    def save(self, data: str) -> None:
        """Add one to the count of the key ``data``."""
        counts = self._stored()["counts"] if self._exists() else {}
        newest = {"key": data, "counts": {**counts, data: counts.get(data, 0) + 1}}
        self._write_sealed(newest)

    def load(self) -> dict[str, Any]:
        """Return ``{"key": newest key, "count": its count}``."""
        stored = self._stored()
        return {"key": stored["key"], "count": stored["counts"][stored["key"]]}

    def preview(self) -> JSONPreview:
        """Return the newest key and all counts for kedro-viz."""
        return json.dumps(self._stored())

    def _stored(self) -> dict[str, Any]:
        stored = self._read_sealed()
        try:
            int(stored["counts"][stored["key"]])
        except (ValueError, KeyError, TypeError) as error:
            raise self._damaged(error) from None
        return stored
