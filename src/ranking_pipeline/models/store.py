"""Model store: fitted models and their predictions, addressed by what made them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ranking_pipeline.cache.entries import MANIFEST, Entry, EntryStore
from ranking_pipeline.cache.origin import code_of
from ranking_pipeline.models import registry
from ranking_pipeline.models.base import BaseModel
from ranking_pipeline.storage import read_table, sha256_json

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MANIFEST", "PREDICTIONS", "Entry", "ModelStore", "content_key"]

PREDICTIONS = "predictions.parquet"
_FIT = "ranking_pipeline.training.fit"  # it reaches all that a fit depends on


class ModelStore(EntryStore):
    """Entries that hold a fitted model and what it predicts."""

    title = "model store"
    content = "model"
    remedy = "Train it again"

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


def content_key(made_from: Mapping[str, Any]) -> str:
    """Key of a model: hash of its inputs, our sources and the libraries' versions."""
    return sha256_json({**made_from, "code": code_of(_FIT)})
