"""Tests of serving share the small market of the training tests, and promote from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.training.conftest import (
    frames,
    how,
    job,
    labels,
    panel,
    parameters,
    planned,
    quick_parameters,
    row,
    samples,
    training,
)

from ranking_pipeline.evaluation.model_scores import model_scores
from ranking_pipeline.models.promoted import Promoted
from ranking_pipeline.models.promotion import Candidate, promote
from ranking_pipeline.models.store import ModelStore
from ranking_pipeline.panel import Panel
from ranking_pipeline.pipelines.promotion.choice import parts_of
from ranking_pipeline.storage import TableHandle
from ranking_pipeline.training.config import ModelTrainingConfig
from ranking_pipeline.training.ensembles import ensembles
from ranking_pipeline.training.fit import train
from ranking_pipeline.training.job import TrainingJob
from ranking_pipeline.training.routed import collect_routed

__all__ = [
    "frames",
    "how",
    "job",
    "labels",
    "panel",
    "parameters",
    "planned",
    "quick_parameters",
    "row",
    "samples",
    "training",
]
TASKS = {"fwd_ret_2d": "regression", "fwd_ret_5d": "regression", "up": "binary"}
SLOPES = {"mean": 0.5, "slopes": {"S00": -1.0, "S03": 2.0}, "tau": 0.3}
ROUTING: dict[str, Any] = {
    "targets": {
        "fwd_ret_2d": {
            "symbols": {
                "S01": {"route": "BOTH"},
                "S02": {"route": "SYMBOL_SPECIFIC"},
                "S04": {"route": "BLOCKED"},
            },
            "partial_pooling": SLOPES,
        }
    }
}


@dataclass(frozen=True)
class Trained:
    """Tables of a training, and where its models are."""

    models: pd.DataFrame
    predictions: pd.DataFrame
    panel: Panel
    features: TableHandle
    store: ModelStore
    registry: Path

    def rows(self) -> Iterator[tuple[Mapping[str, Any], np.ndarray]]:
        """Rows of the leaderboard, each with its scores (T, S)."""
        found = model_scores([self.predictions], [self.models], self.panel, TASKS)
        for one in found:
            yield vars(one), one.score

    def promote(self, row: Mapping[str, Any]) -> Promoted:
        """Put a row into the registry."""
        parts, derived = parts_of(row, self.models)
        plan = ROUTING["targets"].get(row["target"]) if derived else None
        candidate = Candidate(
            row["model_id"], row["target"], row["route"], parts, plan, {}, {}
        )
        return promote(candidate, self.store, self.registry, "production")

    def promoted(self, model_id: str) -> Promoted:
        """Put the row of that name into the registry."""
        (found,) = [row for row, _ in self.rows() if row["model_id"] == model_id]
        return self.promote(found)


@pytest.fixture
def trained(
    how: Callable[..., Any], panel: Panel, tmp_path: Path
) -> Callable[[list[TrainingJob], ModelTrainingConfig], Trained]:
    """Run jobs as the pipeline of training does."""

    def run(jobs: list[TrainingJob], config: ModelTrainingConfig) -> Trained:
        staged = [[one for one in jobs if one.stage == s] for s in ("cpu", "gpu")]
        ended = [
            outcome
            for stage, part in zip(("cpu", "gpu"), staged, strict=True)
            for outcome in (train(part, stage, how()).outcomes if part else [])
        ]
        models, predictions, _ = collect_routed(
            jobs, ended, ROUTING, on_error=config.on_error
        )
        made = ensembles(jobs, ended, models, predictions, config.ensembles)
        return Trained(
            made.models,
            made.predictions,
            panel,
            jobs[0].features_table,
            ModelStore(Path(jobs[0].store_root)),
            tmp_path / "production",
        )

    return run
