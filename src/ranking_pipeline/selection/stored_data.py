"""Stored data: where the tables lie, and what is known of them before they are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from ranking_pipeline.selection.described_targets import DescribedTargets
from ranking_pipeline.selection.training_data import TrainingData
from ranking_pipeline.splits import Splits
from ranking_pipeline.storage import PanelHandle, TableHandle, sha256_json


@dataclass(frozen=True)
class StoredData:
    """Where the tables lie: what travels to a worker instead of them."""

    panel: PanelHandle
    features: TableHandle
    feature_manifest: pd.DataFrame
    labels: TableHandle
    target_manifest: pd.DataFrame
    splits: Mapping[str, Any]

    def content(self) -> str:
        """Digest of everything that the loaded data depend on."""
        tables = [h.sha256 for h in (self.panel, self.features, self.labels)]
        manifests = [
            frame.to_csv() for frame in (self.feature_manifest, self.target_manifest)
        ]
        return sha256_json([*tables, *manifests, self.splits])

    def load(self) -> TrainingData:
        """Read the tables, once per process, and cut them at the train span's end."""
        content = self.content()
        if content not in _loaded:
            _loaded.clear()
            _loaded[content] = TrainingData.cut(
                self.panel.read(),
                self.features.read(),
                self.feature_manifest,
                self.labels.read(),
                self.target_manifest,
                Splits.from_dict(self.splits),
            )
        return _loaded[content]


_loaded: dict[str, TrainingData] = {}


class LazyData(DescribedTargets):
    """Facts about stored data that cost no table; the tables only when asked for.

    Parameters
    ----------
    stored : StoredData
    """

    def __init__(self, stored: StoredData) -> None:
        self._stored, self.targets = stored, stored.target_manifest

    @cached_property
    def n_symbols(self) -> int:
        """Number of symbols of the panel, from the head of its file."""
        return len(self._stored.panel.read_symbols())

    def load(self) -> TrainingData:
        """Read the tables; see :meth:`StoredData.load`."""
        return self._stored.load()
