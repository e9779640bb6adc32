"""TextFilesDataset: small text files for people, added one by one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from kedro.io import AbstractDataset

from ranking_pipeline.datasets.folder import safe_part
from ranking_pipeline.storage import write_text

if TYPE_CHECKING:
    from kedro_datasets._typing import JSONPreview

Files = dict[tuple[str, ...], str]
Changes = dict[tuple[str, ...], str | None]


class TextFilesDataset(AbstractDataset[Changes, Files]):
    """Text by the parts of its path: an export that grows from run to run.

    Each file is replaced in one step, or taken away where its text is None; files that a
    save does not name stay as they are.
    Parts of a path are encoded as in :class:`TextFolderDataset`.

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

    def save(self, data: Changes) -> None:
        """Write or take away every file that is named."""
        for parts, text in data.items():
            path = self._filepath.joinpath(*map(safe_part, parts))
            if text is None:
                path.unlink(missing_ok=True)
            else:
                write_text(path, text)

    def load(self) -> Files:
        """Read every file, by the parts of its path below the folder."""
        return {
            tuple(map(unquote, path.relative_to(self._filepath).parts)): path.read_text(
                "utf-8"
            )
            for path in sorted(self._filepath.rglob("*"))
            if path.is_file()
        }

    def preview(self) -> JSONPreview:
        """Return the names of the files for kedro-viz."""
        return json.dumps(["/".join(parts) for parts in self.load()])

    def _exists(self) -> bool:
        return self._filepath.is_dir()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
