"""CounterDataset: how often something was done, by content."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ranking_pipeline.datasets.plain_file import PlainFileDataset
from ranking_pipeline.errors import UserError
from ranking_pipeline.storage import write_json

if TYPE_CHECKING:
    from kedro_datasets._typing import JSONPreview


class CounterDataset(PlainFileDataset[str, dict[str, Any]]):
    """Count saves per key; a load returns the newest key with its count.

    Parameters
    ----------
    filepath : str
        JSON file that holds the counts; it outlives runs.
    """

    def save(self, data: str) -> None:
        """Add one to the count of the key ``data``."""
        counts = self._stored()["counts"] if self._exists() else {}
        newest = {"key": data, "counts": {**counts, data: counts.get(data, 0) + 1}}
        write_json(self._filepath, newest)

    def load(self) -> dict[str, Any]:
        """Return ``{"key": newest key, "count": its count}``."""
        stored = self._stored()
        return {"key": stored["key"], "count": stored["counts"][stored["key"]]}

    def preview(self) -> JSONPreview:
        """Return the newest key and all counts for kedro-viz."""
        return json.dumps(self._stored())

    def _stored(self) -> dict[str, Any]:
        try:
            stored: dict[str, Any] = json.loads(self._filepath.read_text("utf-8"))
            int(stored["counts"][stored["key"]])
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{self._filepath} is damaged: no counts ({type(error).__name__}: "
                f"{error}). Restore it from a copy; without it, earlier openings are "
                "not counted. Delete it only where that is meant."
            ) from None
        return stored
