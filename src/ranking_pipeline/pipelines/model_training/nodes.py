"""Nodes of model training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from ranking_pipeline.jobs.config import JobsConfig
from ranking_pipeline.models.config import ModelTrainingConfig
from ranking_pipeline.storage import PanelHandle, TableHandle

if TYPE_CHECKING:
    from ranking_pipeline.models.training import TrainingJob

Outcomes = list[dict[str, Any]]


def train_cpu_jobs(
    plan: dict[str, Any],
    panel: PanelHandle,
    features: TableHandle,
    labels: TableHandle,
    target_manifest: pd.DataFrame,
    splits: dict[str, Any],
    config: ModelTrainingConfig,
    jobs: JobsConfig,
) -> Outcomes:
    planned = _expand(
        plan, panel, features, labels, target_manifest, splits, config, jobs
    )
    return _train([job for job in planned if job.stage == "cpu"], "CPU", jobs)


def train_gpu_jobs(
    plan: dict[str, Any],
    panel: PanelHandle,
    features: TableHandle,
    labels: TableHandle,
    target_manifest: pd.DataFrame,
    splits: dict[str, Any],
    config: ModelTrainingConfig,
    jobs: JobsConfig,
    cpu_outcomes: Outcomes,
) -> Outcomes:
    """Train after the CPU jobs: their outcomes are an input for the order's sake."""
    planned = _expand(
        plan, panel, features, labels, target_manifest, splits, config, jobs
    )
    return _train([job for job in planned if job.stage == "gpu"], "GPU", jobs)


def collect_models(
    plan: dict[str, Any],
    panel: PanelHandle,
    features: TableHandle,
    labels: TableHandle,
    target_manifest: pd.DataFrame,
    splits: dict[str, Any],
    config: ModelTrainingConfig,
    jobs: JobsConfig,
    cpu_outcomes: Outcomes,
    gpu_outcomes: Outcomes,
    routing_plan: dict[str, Any],
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Models, predictions (routed ones included) and outcomes."""
    from ranking_pipeline.models.routed import collect_routed

    planned = _expand(
        plan, panel, features, labels, target_manifest, splits, config, jobs
    )
    outcomes = [*cpu_outcomes, *gpu_outcomes]
    return collect_routed(planned, outcomes, routing_plan, on_error=config.on_error)


def summarise_training(outcomes: pd.DataFrame, models: pd.DataFrame) -> dict[str, Any]:
    from ranking_pipeline.evaluation.model_sections import training_section

    return training_section(outcomes, models).to_dict()


def _expand(
    plan: dict[str, Any],
    panel: PanelHandle,
    features: TableHandle,
    labels: TableHandle,
    target_manifest: pd.DataFrame,
    splits: dict[str, Any],
    config: ModelTrainingConfig,
    jobs: JobsConfig,
) -> list[TrainingJob]:
    from ranking_pipeline.models.plan import expand_plan

    return expand_plan(
        plan,
        config,
        target_manifest=target_manifest,
        splits=splits,
        panel=panel,
        features=features,
        labels=labels,
        store_root=jobs.store,
        threads=jobs.resolved()[1],
    )


def _train(planned: list[TrainingJob], stage: str, jobs: JobsConfig) -> Outcomes:
    from ranking_pipeline.models.training import train

    return train(planned, stage, jobs)
