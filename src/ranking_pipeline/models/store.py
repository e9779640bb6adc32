"""Model store: fitted models and their predictions, addressed by what made them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ranking_pipeline.cache.entries import MANIFEST as FIRST_MANIFEST
from ranking_pipeline.cache.entries import Entry, EntryStore
from ranking_pipeline.cache.origin import code_of
from ranking_pipeline.errors import UserError
from ranking_pipeline.models import registry
from ranking_pipeline.models.base import BaseModel
from ranking_pipeline.models.model_meta import META_FILE, read_meta, write_meta
from ranking_pipeline.storage import read_table, sha256_json

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MANIFEST", "PREDICTIONS", "Entry", "ModelStore", "content_key"]

MANIFEST = META_FILE
PREDICTIONS = "predictions.parquet"
_FIT = "ranking_pipeline.training.fit"  # it reaches all that a fit depends on
_NEEDED = ("family", "parameters", "seed")


class ModelStore(EntryStore):
    """Entries that hold a fitted model and what it predicts.

    The manifest of an entry is ``model_meta.json``, see
    :mod:`ranking_pipeline.models.model_meta`: the hashes of the files and the
    description of the model are one document.
    """

    title = "model store"
    content = "model"
    remedy = "Train it again"
    manifest: ClassVar[str] = META_FILE

    def listed(self, key: str) -> Entry:
        """Read the meta document of an entry, its files unseen.

        Raises
        ------
        UserError
            When the entry is missing or unfinished, or of a version that is not known.
        """
        folder = self.folder(key)
        if self.manifest_of(key).name == FIRST_MANIFEST:
            return EntryStore(self.root).listed(key)
        try:
            return super().listed(key)
        except AttributeError:
            raise UserError(f"{folder / self.manifest} is no model meta.") from None

    def manifest_of(self, key: str) -> Path:
        """Where the document of an entry is; entries of version 1 have another name."""
        folder = self.folder(key)
        first = folder / FIRST_MANIFEST
        old = first.is_file() and not (folder / self.manifest).exists()
        return first if old else folder / self.manifest

    def load_model(self, key: str, threads: int = 1) -> BaseModel:
        """Load the fitted model of an entry.

        Raises
        ------
        UserError
            See :meth:`verified`; also when the files are those of another family, so
            that the family cannot read them.
        """
        entry = self.verified(key)
        lacking = [name for name in _NEEDED if name not in entry.facts]
        if lacking:
            raise UserError(f"{entry.folder} does not tell {', '.join(lacking)}.")
        family, parameters = entry.facts["family"], entry.facts["parameters"]
        config = registry.validate(family, parameters)
        seed = entry.facts["seed"]
        try:
            return registry.family_type(family).load(
                entry.folder, config, seed=seed, threads=threads
            )
        except UserError:
            raise
        except Exception as error:
            raise UserError(
                f"{entry.folder} cannot be read as a model of family {family!r} "
                f"({type(error).__name__}: {error}). {self.remedy}."
            ) from error

    def read_predictions(self, key: str) -> pd.DataFrame:
        """Timestamp, symbol, score and probabilities of an entry's predicted rows."""
        return read_table(self.verified(key).folder / PREDICTIONS)

    def _document(self, files: dict[str, str], facts: dict[str, Any]) -> dict[str, Any]:
        family = facts.get("family")
        sequence = family is not None and registry.listing(family).sequence
        return write_meta(files, facts, sequence=sequence)

    def _parts(self, document: Any) -> tuple[dict[str, str], dict[str, Any]]:
        return read_meta(document)


def content_key(made_from: Mapping[str, Any]) -> str:
    """Key of a model: hash of its inputs, our sources and the libraries' versions."""
    return sha256_json({**made_from, "code": code_of(_FIT)})
