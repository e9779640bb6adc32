"""Model store: fitted models and their predictions, addressed by what made them."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ranking_pipeline.errors import UserError
from ranking_pipeline.models import registry
from ranking_pipeline.models.base import BaseModel
from ranking_pipeline.storage import (
    atomic_write,
    read_table,
    sha256_file,
    sha256_json,
    sources_digest,
    sweep_temporaries,
    write_json,
)

if TYPE_CHECKING:
    import pandas as pd

MANIFEST = "manifest.json"
PREDICTIONS = "predictions.parquet"
_SCRATCH_PREFIX = ".scratch-"
_KEY_LENGTH = 64
# What a fit depends on: our own sources, and these distributions where installed.
_SOURCES = ("models", "learning", "panel.py", "splits.py")
_LIBRARIES = (
    "numpy",
    "scipy",
    "pandas",
    "lightgbm",
    "xgboost",
    "xgboost-cpu",
    "scikit-learn",
    "skops",
    "torch",
)


@dataclass(frozen=True)
class Entry:
    """One finished model of the store.

    Attributes
    ----------
    key
        Hash of everything that the model was made from.
    folder
        Where its files are.
    files
        Hex SHA-256 by file name.
    facts
        What its maker recorded: family, parameters, seed, features, numbers of rows.
    """

    key: str
    folder: Path
    files: Mapping[str, str]
    facts: Mapping[str, Any]


class ModelStore:
    """Folders ``<key[:2]>/<key>/`` under a root, each vouched for by its manifest.

    The manifest is written last: a folder without one is no entry. Every file's hash is
    checked before a parser sees a byte of it, because native parsers crash the process
    on damaged bytes and text.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, key: str) -> Path:
        """Where an entry lives, finished or not."""
        if len(key) != _KEY_LENGTH or set(key) - set("0123456789abcdef"):
            raise UserError(f"{key!r} is no key of the model store (64 hex digits).")
        return self.root / key[:2] / key

    def find(self, key: str) -> Entry | None:
        """Find a finished and undamaged entry; None: it is to be made (again)."""
        try:
            return self.verified(key)
        except UserError:
            return None

    def verified(self, key: str) -> Entry:
        """Get a finished entry after checking every file against the manifest.

        Raises
        ------
        UserError
            When the entry is missing, unfinished or altered.
        """
        folder = self.folder(key)
        try:
            manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
            entry = Entry(key, folder, manifest["files"], manifest["facts"])
        except (OSError, ValueError, KeyError, TypeError):
            raise UserError(
                f"model store {self.root} has no finished model {key}. Train it again."
            ) from None
        for name, sha256 in entry.files.items():
            path = folder / name
            if Path(name).name != name or not path.is_file():
                raise UserError(f"{path} is missing. Train the model again.")
            if sha256_file(path) != sha256:
                raise UserError(
                    f"{path} is damaged or was altered: its SHA-256 differs from the "
                    "manifest. It is not opened; train the model again."
                )
        return entry

    def write(
        self, key: str, fill: Callable[[Path], None], facts: Mapping[str, Any]
    ) -> Entry:
        """Make an entry: ``fill`` writes its files into a scratch folder.

        Two writers of one key write the same bytes, so the later one does no harm.
        """
        folder = self.folder(key)
        self.root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=_SCRATCH_PREFIX, dir=self.root) as name:
            fill(Path(name))
            made = sorted(Path(name).iterdir())
            (folder / MANIFEST).unlink(missing_ok=True)
            files = {path.name: sha256_file(path) for path in made}
            for path in made:
                with atomic_write(folder / path.name) as temporary:
                    shutil.move(path, temporary)
        write_json(folder / MANIFEST, {"files": files, "facts": dict(facts)})
        return Entry(key, folder, files, dict(facts))

    def load_model(self, key: str, threads: int = 1) -> BaseModel:
        """Load the fitted model of an entry; see :meth:`verified` for the errors."""
        entry = self.verified(key)
        family, parameters = entry.facts["family"], entry.facts["parameters"]
        return registry.family_type(family).load(
            entry.folder,
            registry.validate(family, parameters),
            seed=entry.facts["seed"],
            threads=threads,
        )

    def read_predictions(self, key: str) -> pd.DataFrame:
        """Timestamp, symbol, score and probabilities of an entry's predicted rows."""
        return read_table(self.verified(key).folder / PREDICTIONS)

    def sweep(self) -> None:
        """Remove what killed writers left; only where nobody else writes."""
        for scratch in self.root.glob(f"{_SCRATCH_PREFIX}*"):
            shutil.rmtree(scratch, ignore_errors=True)
        sweep_temporaries(self.root)


def content_key(made_from: Mapping[str, Any]) -> str:
    """Key of a model: hash of its inputs, our sources and the libraries' versions."""
    return sha256_json({**made_from, "code": code_version()})


@lru_cache(maxsize=1)
def code_version() -> dict[str, str]:
    """Hash of the sources on which a fit depends, and versions of the libraries."""
    return {"sources": sources_digest(*_SOURCES), **_library_versions()}


def _library_versions() -> dict[str, str]:
    versions = {}
    for library in _LIBRARIES:
        try:
            versions[library] = version(library)
        except PackageNotFoundError:
            continue
    return versions
