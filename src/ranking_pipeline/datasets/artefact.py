"""ArtefactDataset: one file that is complete, verified, and knows what it was made of."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Generic, TypeVar

from kedro.io import AbstractVersionedDataset, DatasetError, Version

from ranking_pipeline.storage import (
    Manifest,
    read_manifest,
    verify_artefact,
    write_artefact,
)

Saved = TypeVar("Saved")
Loaded = TypeVar("Loaded")


@dataclass(frozen=True)
class Lineage:
    """What the next save is made from; set by the lineage hook before a node runs."""

    producer: str = ""
    ancestors: Mapping[str, str] = field(default_factory=dict)


class ArtefactDataset(AbstractVersionedDataset[Saved, Loaded], Generic[Saved, Loaded]):
    """A file with a manifest: it exists for us only when both agree.

    Writing goes to a temporary file that is renamed when it is complete, and the manifest
    comes last. A version whose manifest is missing or does not fit (a killed run, a full
    disk) is not a version: the newest complete one is loaded. The SHA-256 is checked
    before a parser sees a byte.

    Parameters
    ----------
    filepath : str
        Path of the file; with ``versioned: true`` the folder of its versions.
    version : Version, optional
        Given by Kedro when the catalog entry is versioned.
    metadata : dict, optional
        Ignored here; read by kedro-viz.
    """

    def __init__(
        self,
        *,
        filepath: str,
        version: Version | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(PurePosixPath(filepath), version)
        self.metadata = metadata
        self.lineage = Lineage()

    @abstractmethod
    def _write(self, data: Saved, path: Path) -> None:
        """Write the whole file to ``path``."""

    @abstractmethod
    def _read(self, path: Path, manifest: Manifest) -> Loaded:
        """Read the verified file at ``path``."""

    def save(self, data: Saved) -> None:
        """Write the file, then its manifest."""
        write_artefact(
            Path(self._get_save_path()),
            lambda path: self._write(data, path),
            producer=self.lineage.producer,
            ancestors=self.lineage.ancestors,
        )

    def load(self) -> Loaded:
        """Verify the file against its manifest, then read it."""
        path = self.load_path()
        return self._read(path, verify_artefact(path))

    def load_path(self) -> Path:
        """The file that a load would read."""
        return Path(self._get_load_path())

    def manifest(self) -> Manifest | None:
        """The manifest of what a load would read; None when there is nothing."""
        try:
            return read_manifest(self.load_path())
        except DatasetError:
            return None

    def _exists(self) -> bool:
        return self.manifest() is not None

    def _get_versions(self) -> list[str]:
        return [path for path in super()._get_versions() if read_manifest(Path(path))]

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath), "version": self._version}
