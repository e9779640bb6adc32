"""Model store: fitted models and their predictions, addressed by what made them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ranking_pipeline.cache.entries import MANIFEST, Entry, EntryStore
from ranking_pipeline.cache.origin import library_versions
from ranking_pipeline.models import registry
from ranking_pipeline.models.base import BaseModel
from ranking_pipeline.storage import (
    read_table,
    sha256_json,
    sources_digest,
    sweep_temporaries,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MANIFEST", "PREDICTIONS", "Entry", "ModelStore", "content_key"]

PREDICTIONS = "predictions.parquet"
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

    def sweep(self, older_than_seconds: float | None = None) -> int:
        """Remove what killed writers left; only where nobody else writes."""
        left = sweep_temporaries(self.root)
        return left + super().sweep(older_than_seconds)


def content_key(made_from: Mapping[str, Any]) -> str:
    """Key of a model: hash of its inputs, our sources and the libraries' versions."""
    return sha256_json({**made_from, "code": code_version()})


@lru_cache(maxsize=1)
def code_version() -> dict[str, str]:
    """Hash of the sources on which a fit depends, and versions of the libraries."""
    return {"sources": sources_digest(*_SOURCES), **library_versions(_LIBRARIES)}
