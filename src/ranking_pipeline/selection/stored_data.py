"""Stored data: where the tables lie, and what is known of them before they are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import pandas as pd

from ranking_pipeline.errors import UserError
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


class TargetsDescribed(Protocol):
    """What a stage may ask before it hands the work out: loaded data have it too."""

    @property
    def candidate_targets(self) -> tuple[str, ...]:
        """Targets of the manifest that are not carried along as payoffs only."""

    @property
    def n_symbols(self) -> int:
        """Number of symbols of the panel."""

    def describe(self, target: str) -> pd.Series:
        """Manifest row of a target."""


class LazyData:
    """Facts about stored data that cost no table; the tables only when asked for.

    Parameters
    ----------
    stored : StoredData
    """

    def __init__(self, stored: StoredData) -> None:
        self._stored = stored

    @property
    def candidate_targets(self) -> tuple[str, ...]:
        """Targets of the manifest that are not carried along as payoffs only."""
        targets = self._stored.target_manifest
        return tuple(targets.loc[targets["is_target"].astype(bool), "target"])

    @cached_property
    def n_symbols(self) -> int:
        """Number of symbols of the panel, from the head of its file."""
        return len(self._stored.panel.read_symbols())

    def describe(self, target: str) -> pd.Series:
        """Manifest row of a target.

        Raises
        ------
        UserError
            When the manifest does not have it once.
        """
        targets = self._stored.target_manifest
        rows = targets[targets["target"] == target]
        if len(rows) != 1:
            raise UserError(
                f"target {target!r} is not in target_manifest; it has "
                + ", ".join(map(str, targets["target"]))
            )
        return rows.iloc[0]

    def load(self) -> TrainingData:
        """Read the tables; see :meth:`StoredData.load`."""
        return self._stored.load()
