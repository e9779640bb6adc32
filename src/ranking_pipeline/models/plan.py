"""Expanding a training plan: one training job per plan row, family and seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from ranking_pipeline.errors import UserError
from ranking_pipeline.models import registry
from ranking_pipeline.models.config import ModelTrainingConfig
from ranking_pipeline.models.training import TrainingJob
from ranking_pipeline.storage import PanelHandle, TableHandle


def expand_plan(
    training_plan: Mapping[str, Any],
    config: ModelTrainingConfig,
    *,
    target_manifest: pd.DataFrame,
    splits: Mapping[str, Any],
    panel: PanelHandle,
    features: TableHandle,
    labels: TableHandle,
    store_root: str,
    threads: int,
) -> list[TrainingJob]:
    """Make the jobs of a plan, exactly: what is not planned is not trained.

    A plan row's families are those that it names and that the configuration enables
    (``families`` or ``symbol_families``).

    Returns
    -------
    list of TrainingJob
        CPU jobs first, then GPU jobs; in the order of the plan within each stage.

    Raises
    ------
    UserError
        For an unknown family, a parameter block that its family refuses, a target that
        the manifest lacks, or a row of which no family is enabled; all at once.
    """
    tasks = dict(zip(target_manifest["target"], target_manifest["task"], strict=True))
    shared = {
        "splits": dict(splits),
        "panel": panel,
        "features_table": features,
        "labels_table": labels,
        "store_root": store_root,
        "threads": threads,
        "learning_target": config.learning_target,
        "feature_scale": config.feature_scale,
        "max_train_rows": config.max_train_rows,
    }
    faults, jobs = _Faults(), []
    for row in training_plan["jobs"]:
        with faults:
            families = _families(row, config)
            task = _task(row, tasks)
        if not faults.last:
            jobs += _expand_row(row, families, task, config, shared)
    for family in sorted({job.family for job in jobs}):
        with faults:
            registry.validate(family, _block(config, family))
    faults.stop()
    return sorted(jobs, key=lambda job: job.stage == "gpu")


class _Faults:
    """Collects user errors, so that all of them are told at once."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.last = False

    def __enter__(self) -> None:
        self.last = False

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> bool:
        self.last = isinstance(error, UserError)
        if self.last:
            self.texts.append(str(error))
        return self.last

    def stop(self) -> None:
        if self.texts:
            raise UserError("\n".join(dict.fromkeys(self.texts)))


def _families(row: Mapping[str, Any], config: ModelTrainingConfig) -> list[str]:
    own = row["symbol"] is not None
    key = "symbol_families" if own else "families"
    enabled = {registry.canonical(name) for name in getattr(config, key)}
    planned = [registry.canonical(name) for name in row["families"]]
    chosen = list(dict.fromkeys(name for name in planned if name in enabled))
    if not chosen:
        raise UserError(
            f"training plan, job {row['job_id']}: none of its families "
            f"{planned} is enabled by model_training.{key} {sorted(enabled)}. "
            "Enable one, or run the routing pipeline again."
        )
    return chosen


def _task(row: Mapping[str, Any], tasks: Mapping[str, str]) -> str:
    if row["target"] not in tasks:
        raise UserError(
            f"training plan, job {row['job_id']}: target {row['target']!r} is not in "
            "the target manifest; plan and labels come from different runs."
        )
    return tasks[row["target"]]


def _block(config: ModelTrainingConfig, family: str) -> dict[str, Any]:
    """Parameter block of a family, under any spelling of its name."""
    for name, block in config.parameters.items():
        if registry.canonical(name) == family:
            return block
    raise UserError(f"model_training.parameters has no block for family {family!r}.")


def _expand_row(
    row: Mapping[str, Any],
    families: Sequence[str],
    task: str,
    config: ModelTrainingConfig,
    shared: Mapping[str, Any],
) -> list[TrainingJob]:
    jobs = []
    for family in families:
        for seed in config.seeds:
            suffix = f":seed{seed}" if len(config.seeds) > 1 else ""
            jobs.append(
                TrainingJob(
                    job_id=f"{row['job_id']}:{family}{suffix}",
                    model_id=model_id(family, row["target"], row["symbol"]) + suffix,
                    target=row["target"],
                    task=task,
                    family=family,
                    route=row["training_type"],
                    symbol=row["symbol"],
                    features=tuple(row["features"]),
                    parameters=_block(config, family),
                    seed=seed,
                    stage=registry.listing(family).device,
                    **shared,
                )
            )
    return jobs


def model_id(family: str, target: str, symbol: str | None = None) -> str:
    """Readable id, such as ``ridge:fwd_ret_1d:SYM007``."""
    return ":".join(part for part in (family, target, symbol) if part)
