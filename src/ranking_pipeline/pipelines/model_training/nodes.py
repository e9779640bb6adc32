"""Nodes of model training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from ranking_pipeline.jobs.config import JobsConfig
from ranking_pipeline.storage import PanelHandle, TableHandle
from ranking_pipeline.training.config import ModelTrainingConfig

if TYPE_CHECKING:
    from ranking_pipeline.training.fit import TrainingJob

Outcomes = list[dict[str, Any]]
Costs = list[dict[str, Any]]


def train_cpu_jobs(
    config: ModelTrainingConfig, jobs: JobsConfig, *planned: Any
) -> tuple[Outcomes, Costs]:
    """Train the jobs of the CPU; ``planned`` are the plan and the tables it is for."""
    return _train("CPU", _expand(config, jobs, *planned), jobs)


def train_gpu_jobs(
    config: ModelTrainingConfig,
    jobs: JobsConfig,
    cpu_outcomes: Outcomes,
    *planned: Any,
) -> tuple[Outcomes, Costs]:
    """Train the rest after the CPU jobs: their outcomes are here for the order's sake."""
    del cpu_outcomes
    return _train("GPU", _expand(config, jobs, *planned), jobs)


def collect_models(
    config: ModelTrainingConfig,
    jobs: JobsConfig,
    cpu_outcomes: Outcomes,
    gpu_outcomes: Outcomes,
    routing_plan: dict[str, Any],
    *planned: Any,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Models, predictions (routed ones included) and outcomes."""
    from ranking_pipeline.training.routed import collect_routed

    return collect_routed(
        _expand(config, jobs, *planned),
        [*cpu_outcomes, *gpu_outcomes],
        routing_plan,
        on_error=config.on_error,
    )


def summarise_training(outcomes: pd.DataFrame, models: pd.DataFrame) -> dict[str, Any]:
    from ranking_pipeline.evaluation.model_sections import training_section

    return training_section(outcomes, models).to_dict()


def _expand(
    config: ModelTrainingConfig,
    jobs: JobsConfig,
    plan: dict[str, Any],
    panel: PanelHandle,
    features: TableHandle,
    labels: TableHandle,
    target_manifest: pd.DataFrame,
    splits: dict[str, Any],
) -> list[TrainingJob]:
    from ranking_pipeline.routing.plan_schema import read_training_plan
    from ranking_pipeline.training.plan import expand_plan

    return expand_plan(
        read_training_plan(plan).model_dump(mode="json"),
        config,
        target_manifest=target_manifest,
        splits=splits,
        panel=panel,
        features=features,
        labels=labels,
        store_root=jobs.store,
        threads=jobs.resolved()[1],
    )


def _train(
    stage: str, planned: list[TrainingJob], jobs: JobsConfig
) -> tuple[Outcomes, Costs]:
    from ranking_pipeline.training.fit import train

    staged = [job for job in planned if job.stage == stage.lower()]
    made = train(staged, stage, jobs)
    return made.outcomes, [made.costs.to_dict()]
