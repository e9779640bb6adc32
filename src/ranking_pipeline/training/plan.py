"""Expanding a training plan: one training job per plan row, family and seed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from ranking_pipeline.errors import UserError
from ranking_pipeline.models import registry
from ranking_pipeline.models.loss_check import only_ranks
from ranking_pipeline.storage import PanelHandle, TableHandle
from ranking_pipeline.training.config import ModelTrainingConfig
from ranking_pipeline.training.family_faults import family_faults
from ranking_pipeline.training.job import TrainingJob
from ranking_pipeline.training.plan_filters import filter_jobs
from ranking_pipeline.training.refits import refuse_other_refits
from ranking_pipeline.training.strategies import strategic
from ranking_pipeline.training.window import Window

TIME_SERIES = "time_series"


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

    The rows and families are those that
    :func:`ranking_pipeline.training.plan_filters.filter_jobs` leaves. A row of the view
    over time learns raw targets from raw features: there is no cross-section whose
    ranks could be learned.

    Returns
    -------
    list of TrainingJob
        CPU jobs first, then GPU jobs; in the order of the plan within each stage, and
        then the models of folds that a strategy or an ensemble needs, see
        :func:`ranking_pipeline.training.strategies.strategic`.

    Raises
    ------
    UserError
        For a walk-forward that is not the plan's, a filter that fits nothing, an
        unknown family, one that cannot be trained as asked
        (:func:`ranking_pipeline.training.family_faults.family_faults`), a parameter
        block that its family refuses, a loss that ranks for a job of one symbol, or a
        target that the manifest lacks; all at once.
    """
    tasks = dict(zip(target_manifest["target"], target_manifest["task"], strict=True))
    lags = _entry_lags(target_manifest, config)
    shared = {
        "splits": dict(splits),
        "panel": panel,
        "features_table": features,
        "labels_table": labels,
        "store_root": store_root,
        "threads": threads,
        "max_train_rows": config.max_train_rows,
        "sample_weights": config.sample_weights,
    }
    faults, jobs = _Faults(), []
    rows: list[dict[str, Any]] = []
    with faults:
        refuse_other_refits(training_plan, config.walk_forward)
    with faults:
        rows = filter_jobs(training_plan, config, tasks)
    kinds = {
        (name, row["symbol"] is not None) for row in rows for name in row["families"]
    }
    for name, lone in sorted(kinds):
        faults.texts += family_faults(name, config, own=lone)
    for row in rows:
        own = shared | {"entry_lag_bars": lags.get(row["target"], 0)}
        for family in row["families"]:
            with faults:
                jobs += _expand(row, family, _task(row, tasks), config, own)
    with faults:
        jobs = strategic(jobs, config)
    for family in sorted({name for name, _ in kinds} | {job.family for job in jobs}):
        with faults:
            registry.validate(family, config.block(family))
    faults.stop()
    return sorted(jobs, key=lambda job: job.stage == "gpu")


class _Faults:
    """Collects user errors, so that all of them are told at once."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> bool:
        caught = isinstance(error, UserError)
        if caught:
            self.texts.append(str(error))
        return caught

    def stop(self) -> None:
        if self.texts:
            raise UserError("\n".join(dict.fromkeys(self.texts)))


def _task(row: Mapping[str, Any], tasks: Mapping[str, str]) -> str:
    if row["target"] not in tasks:
        raise UserError(
            f"training plan, job {row['job_id']}: target {row['target']!r} is not in "
            "the target manifest; plan and labels come from different runs."
        )
    return tasks[row["target"]]


def _entry_lags(
    target_manifest: pd.DataFrame, config: ModelTrainingConfig
) -> dict[str, int]:
    """Entry lag of each target, where weights need it: no key holds it otherwise."""
    if config.sample_weights == "none":
        return {}
    names, lags = target_manifest["target"], target_manifest["entry_lag_bars"]
    return {str(name): int(lag) for name, lag in zip(names, lags, strict=True)}


def _expand(
    row: Mapping[str, Any],
    family: str,
    task: str,
    config: ModelTrainingConfig,
    shared: Mapping[str, Any],
) -> list[TrainingJob]:
    """Jobs of one family of a row of the plan: one per seed."""
    block = config.block(family)
    _refuse_ranking_one(row, family, task, block)
    scales = _scales(row, config) | {"window": _window(row, config)}
    jobs = []
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
                parameters=block,
                seed=seed,
                stage=registry.listing(family).device,
                **scales,
                **shared,
            )
        )
    return jobs


def _scales(row: Mapping[str, Any], config: ModelTrainingConfig) -> dict[str, Any]:
    # a row of a plan of version 1 knows neither views nor windows
    if row.get("view") == TIME_SERIES:
        return {"learning_target": "raw", "feature_scale": "raw"}
    return {
        "learning_target": config.learning_target,
        "feature_scale": config.feature_scale,
    }


def _window(row: Mapping[str, Any], config: ModelTrainingConfig) -> Window | None:
    if not row.get("window"):
        return None
    return Window(
        number=row["window"],
        train_start=row["train_start"],
        train_end=row["train_end"],
        predict_start=row["predict_start"],
        predict_end=row["predict_end"],
        validation_share=config.walk_forward.validation_share,
        min_rows=config.walk_forward.min_train_rows,
    )


def _refuse_ranking_one(
    row: Mapping[str, Any], family: str, task: str, block: Mapping[str, Any]
) -> None:
    """Refuse to rank the one name of a bar against itself, before hours of training."""
    if row["symbol"] is None or task != "regression":
        return
    loss = str(block.get("regression_loss", ""))
    if registry.listing(family).ranks or only_ranks(loss):
        what = f"regression_loss {loss!r}" if loss else "it"
        raise UserError(
            f"training plan, job {row['job_id']}: family {family} cannot learn from "
            f"one symbol, because {what} ranks the names of a bar. Take it out of "
            "model_training.symbol_families, or give a loss of levels such as huber."
        )


def model_id(family: str, target: str, symbol: str | None = None) -> str:
    """Readable id, such as ``ridge:fwd_ret_1d:SYM007``."""
    return ":".join(part for part in (family, target, symbol) if part)
