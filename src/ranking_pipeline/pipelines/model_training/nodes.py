"""Nodes of model training."""

from __future__ import annotations

from typing import Any

import pandas as pd

from ranking_pipeline.jobs.config import JobsConfig
from ranking_pipeline.storage import PanelHandle, TableHandle
from ranking_pipeline.training.config import ModelTrainingConfig

# Kedro reads annotations at run time: the type of a job would cost an import of models.
Planned = list[Any]
Outcomes = list[dict[str, Any]]
Costs = list[dict[str, Any]]
Ended = tuple[Outcomes, Costs, Costs]  # what the stage took, and what each job took


def list_jobs(
    config: ModelTrainingConfig,
    jobs: JobsConfig,
    plan: dict[str, Any],
    panel: PanelHandle,
    features: TableHandle,
    labels: TableHandle,
    target_manifest: pd.DataFrame,
    splits: dict[str, Any],
) -> Planned:
    """The jobs of the plan that are asked for: small, so that they stay in memory."""
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


def train_cpu_jobs(planned: Planned, jobs: JobsConfig) -> Ended:
    """Train the jobs of the CPU."""
    return _train("CPU", planned, jobs)


def train_gpu_jobs(planned: Planned, jobs: JobsConfig, cpu_outcomes: Outcomes) -> Ended:
    """Train the rest after the CPU jobs: their outcomes are here for the order's sake."""
    del cpu_outcomes
    return _train("GPU", planned, jobs)


def collect_models(
    planned: Planned,
    config: ModelTrainingConfig,
    cpu_outcomes: Outcomes,
    gpu_outcomes: Outcomes,
    routing_plan: dict[str, Any],
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Models, predictions (derived ones included), outcomes and weights of ensembles."""
    from ranking_pipeline.training.ensembles import ensembles
    from ranking_pipeline.training.predicted_class import with_prediction
    from ranking_pipeline.training.routed import collect_routed

    ended = [*cpu_outcomes, *gpu_outcomes]
    models, predictions, outcomes = collect_routed(
        planned, ended, routing_plan, on_error=config.on_error
    )
    made = ensembles(planned, ended, models, predictions, config.ensembles)
    return made.models, with_prediction(made.predictions), outcomes, made.weights


def summarise_training(
    outcomes: pd.DataFrame, models: pd.DataFrame, weights: pd.DataFrame
) -> dict[str, Any]:
    from ranking_pipeline.evaluation.model_sections import training_section

    return training_section(outcomes, models, weights=weights).to_dict()


def _train(stage: str, planned: Planned, jobs: JobsConfig) -> Ended:
    from ranking_pipeline.training.fit import train

    staged = [job for job in planned if job.stage == stage.lower()]
    made = train(staged, stage, jobs)
    return made.outcomes, [made.costs.to_dict()], made.job_costs
