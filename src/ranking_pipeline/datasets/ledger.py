"""LedgerDataset: distinct entries that add up over runs, by content."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ranking_pipeline.datasets.sealed_file import SealedFileDataset

if TYPE_CHECKING:
    from kedro_datasets._typing import JSONPreview


class LedgerDataset(SealedFileDataset[dict[str, Any], dict[str, Any]]):
    """Keep every distinct entry per key; a load returns all of the newest key.

    Saving the same entries again changes nothing, and a write that is killed leaves
    the file as it was.

    Parameters
    ----------
    filepath : str
        JSON file that holds the entries; it outlives runs.
    """

    content, lost = "ledger", "trials"

    def save(self, data: dict[str, Any]) -> None:
        """Add the list ``data["entries"]`` to what is known of ``data["key"]``."""
        key, newest = data["key"], sorted(set(data["entries"]))
        ledgers = self._stored()["ledgers"] if self._exists() else {}
        ledgers[key] = sorted({*ledgers.get(key, ()), *newest})
        self._write_sealed({"key": key, "newest": newest, "ledgers": ledgers})

    def load(self) -> dict[str, Any]:
        """Return ``key``, ``newest`` (entries of the last save) and ``entries`` (all)."""
        stored = self._stored()
        entries = stored["ledgers"][stored["key"]]
        return {"key": stored["key"], "newest": stored["newest"], "entries": entries}

    def preview(self) -> JSONPreview:
        """Return the newest key and the number of entries per key for kedro-viz."""
        stored = self._stored()
        counts = {key: len(entries) for key, entries in stored["ledgers"].items()}
        return json.dumps({"key": stored["key"], "entries": counts})

    def _stored(self) -> dict[str, Any]:
        stored = self._read_sealed()
        try:
            known = {name: set(own) for name, own in stored["ledgers"].items()}
            if not set(stored["newest"]) <= known[stored["key"]]:
                raise ValueError("its newest entries are not in it")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise self._damaged(error) from None
        return stored
