"""Folders of small text files for people: replaced together, or added one by one."""

from __future__ import annotations

import json
import shutil
import tempfile
from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from ranking_pipeline.datasets.plain_file import PlainFileDataset, Saved
from ranking_pipeline.storage import TEMPORARY_PREFIX, write_text

if TYPE_CHECKING:
    from kedro_datasets._typing import JSONPreview

Files = dict[tuple[str, ...], str]
Changes = dict[tuple[str, ...], str | None]


class _TextsDataset(PlainFileDataset[Saved, Files]):
    """Text by the parts of its path below a folder.

    Every part is percent-encoded where it is more than letters, digits, dots, dashes
    and underscores, so that no name of a target or a symbol can leave the folder.

    Parameters
    ----------
    filepath : str
        The folder.
    """

    @abstractmethod
    def save(self, data: Saved) -> None:
        """Write the files."""

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
        """Return the files and their numbers of lines for kedro-viz."""
        files = self.load().items()
        return json.dumps({"/".join(name): len(t.splitlines()) for name, t in files})


class TextFolderDataset(_TextsDataset[dict[str, str]]):
    """Text by relative path: an export that is written whole.

    The new folder is complete before it takes the place of the old one.
    """

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


class TextFilesDataset(_TextsDataset[Changes]):
    """Text by the parts of its path: an export that grows from run to run.

    Each file is replaced in one step, or taken away where its text is None; files that a
    save does not name stay as they are.
    """

    def save(self, data: Changes) -> None:
        """Write or take away every file that is named."""
        for parts, text in data.items():
            path = self._filepath.joinpath(*map(safe_part, parts))
            if text is None:
                path.unlink(missing_ok=True)
            else:
                write_text(path, text)


def safe_part(name: str) -> str:
    """Encode one part of a path so that it is a plain name on any file system."""
    encoded = quote(name, safe="._-^=")
    return encoded if encoded.strip(".") else encoded.replace(".", "%2E") or "%00"
