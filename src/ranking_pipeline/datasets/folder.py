"""TextFolderDataset: small text files for people, replaced together."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from kedro.io import AbstractDataset

from ranking_pipeline.storage import TEMPORARY_PREFIX

if TYPE_CHECKING:
    from kedro_datasets._typing import JSONPreview


class TextFolderDataset(AbstractDataset[dict[str, str], dict[str, str]]):
    """Text by relative path: an export that is written whole and never read back.

    The new folder is complete before it takes the place of the old one. Every part of a
    path is percent-encoded where it is more than letters, digits, dots, dashes and
    underscores, so that no name of a target or a symbol can leave the folder.

    Parameters
    ----------
    filepath : str
        The folder.
    metadata : dict, optional
        Ignored here; read by kedro-viz.
    """

    def __init__(
        self, *, filepath: str, metadata: dict[str, Any] | None = None
    ) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def save(self, data: dict[str, str]) -> None:
        """Write every file, then put the folder in its place."""
        parent = self._filepath.parent
        parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=TEMPORARY_PREFIX, dir=parent) as name:
            fresh, stale = Path(name) / "fresh", Path(name) / "stale"
            fresh.mkdir()
            for place, text in data.items():
                path = fresh.joinpath(*map(safe_part, place.split("/")))
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            if self._filepath.exists():
                shutil.move(self._filepath, stale)
            shutil.move(fresh, self._filepath)

    def load(self) -> dict[str, str]:
        """Read every file, by its path below the folder."""
        return {
            path.relative_to(self._filepath).as_posix(): path.read_text("utf-8")
            for path in sorted(self._filepath.rglob("*"))
            if path.is_file()
        }

    def preview(self) -> JSONPreview:
        """Return the files and their numbers of lines for kedro-viz."""
        lines = {name: len(text.splitlines()) for name, text in self.load().items()}
        return json.dumps(lines)

    def _exists(self) -> bool:
        return self._filepath.is_dir()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}


def safe_part(name: str) -> str:
    """Encode one part of a path so that it is a plain name on any file system."""
    encoded = quote(name, safe="._-^=")
    return encoded if encoded.strip(".") else encoded.replace(".", "%2E") or "%00"
