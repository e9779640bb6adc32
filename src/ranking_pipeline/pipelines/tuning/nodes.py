"""Nodes of tuning."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ranking_pipeline.jobs.config import JobsConfig
from ranking_pipeline.selection.config import FeatureSelectionConfig
from ranking_pipeline.storage import PanelHandle, TableHandle
from ranking_pipeline.training.config import ModelTrainingConfig
from ranking_pipeline.tuning.config import TuningConfig

_log = logging.getLogger(__name__)


def tune_parameters(
    panel: PanelHandle,
    features: TableHandle,
    feature_manifest: pd.DataFrame,
    labels: TableHandle,
    target_manifest: pd.DataFrame,
    splits: dict[str, Any],
    selected_targets: dict[str, Any],
    selected_features: dict[str, list[str]],
    config: TuningConfig,
    training: ModelTrainingConfig,
    selection: FeatureSelectionConfig,
    jobs: JobsConfig,
) -> tuple[Any, ...]:
    """The trials, the best of each study, the overlay, the figures and the costs."""
    from ranking_pipeline.routing.unplanned import screened_features
    from ranking_pipeline.selection.stored_data import StoredData
    from ranking_pipeline.tuning.tune import Tables, tune

    stored = StoredData(
        panel, features, feature_manifest, labels, target_manifest, splits
    )

    def screen(targets: Sequence[str]) -> Mapping[str, Sequence[str]]:
        return screened_features(stored.load(), targets, selection)

    tables = Tables(
        panel, features, labels, target_manifest, splits, selected_targets,
        selected_features, screen,
    )  # fmt: skip
    made = tune(config, training, jobs, tables)
    return (
        made.trials,
        made.best,
        made.overlay,
        made.history,
        made.importances,
        made.slices,
        made.costs,
    )


def write_overlay(overlay: str, config: TuningConfig) -> None:
    """Put the overlay where ``--env`` finds it."""
    from ranking_pipeline.storage import write_text

    write_text(Path(config.overlay), overlay)
    _log.info("overlay: %s", config.overlay)
