"""Tune: studies for families and targets, their verdicts, and what a later run takes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ranking_pipeline.errors import UserError
from ranking_pipeline.evaluation.inference import block_length
from ranking_pipeline.jobs.config import JobsConfig
from ranking_pipeline.splits import Splits
from ranking_pipeline.storage import PanelHandle, TableHandle
from ranking_pipeline.training.config import ModelTrainingConfig
from ranking_pipeline.training.family_faults import SHARED
from ranking_pipeline.training.job import TrainingJob
from ranking_pipeline.training.plan import expand_plan
from ranking_pipeline.tuning.config import TuningConfig
from ranking_pipeline.tuning.figures import figures
from ranking_pipeline.tuning.fold_windows import fold_windows
from ranking_pipeline.tuning.journal import require_optuna
from ranking_pipeline.tuning.overlay import overlay_text
from ranking_pipeline.tuning.space import check_space
from ranking_pipeline.tuning.study import run_study
from ranking_pipeline.tuning.study_plan import StudyPlan
from ranking_pipeline.tuning.verdicts import best_document, judge, trial_table

Screen = Callable[[Sequence[str]], Mapping[str, Sequence[str]]]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tables:
    """What is tuned on, as stored.

    Attributes
    ----------
    panel, features, labels
        Handles.
    target_manifest : DataFrame
    splits : mapping
        The document ``splits``.
    selected_targets, selected_features : mapping
        The choices of the stages before.
    screen : callable
        Gives the features of targets without selected ones: those that pass the leak
        screen.
    """

    panel: PanelHandle
    features: TableHandle
    labels: TableHandle
    target_manifest: pd.DataFrame
    splits: Mapping[str, Any]
    selected_targets: Mapping[str, Any]
    selected_features: Mapping[str, Sequence[str]]
    screen: Screen


@dataclass(frozen=True)
class Tuned:
    """What tuning found.

    Attributes
    ----------
    trials : DataFrame
    best : dict
    overlay : str
    history, importances, slices : dict
        Plotly figures.
    costs : list of dict
    """

    trials: pd.DataFrame
    best: dict[str, Any]
    overlay: str
    history: dict[str, Any]
    importances: dict[str, Any]
    slices: dict[str, Any]
    costs: list[dict[str, Any]]


def tune(
    config: TuningConfig,
    training: ModelTrainingConfig,
    jobs: JobsConfig,
    tables: Tables,
) -> Tuned:
    """Search parameters for every family and target, and judge what was found.

    Raises
    ------
    UserError
        For an unknown target, a space that does not fit its family, too few bars or
        symbols, or default parameters that fail; before any fit where it can be told.
    """
    require_optuna()
    plans = plan_studies(config, training, jobs, tables)
    results = [run_study(plan, config, jobs) for plan in plans]
    verdicts, spent = judge(results, config, jobs)
    for verdict in verdicts:
        base, stays = verdict.result.plan.base, not verdict.beats_default
        kept = "defaults stay: " if stays else "replaces the defaults: "
        _log.info("%s on %s: %s%s", base.family, base.target, kept, verdict.reason)
    costs = [*(cost for result in results for cost in result.costs), *spent]
    return Tuned(
        trial_table(results),
        best_document(verdicts, config),
        overlay_text(verdicts),
        *figures(verdicts),
        [cost.to_dict() for cost in costs],
    )


def plan_studies(
    config: TuningConfig,
    training: ModelTrainingConfig,
    jobs: JobsConfig,
    tables: Tables,
) -> list[StudyPlan]:
    """Plan one study per target and family, in the order of both lists."""
    targets = _targets(config, tables)
    bases = _base_jobs(config, training, jobs, tables, targets)
    faults = []
    for base in {job.family: job for job in bases}.values():
        try:
            check_space(base.family, config.spaces[base.family], base.parameters)
        except UserError as error:
            faults.append(str(error))
    if faults:
        raise UserError("\n".join(faults))
    folds, estimate = fold_windows(
        _enough(tables.panel, config).timestamps,
        Splits.from_dict(tables.splits),
        n_folds=config.folds,
        estimate_share=config.estimate_share,
        validation_share=training.walk_forward.validation_share,
        min_rows=training.walk_forward.min_train_rows,
    )
    return [
        StudyPlan(
            base,
            config.spaces[base.family],
            folds,
            estimate,
            _block_bars(tables.target_manifest, base.target),
        )
        for base in bases
    ]


def _enough(handle: PanelHandle, config: TuningConfig) -> Any:
    panel = handle.read()
    if panel.n_symbols < config.min_symbols:
        raise UserError(
            f"tuning.min_symbols {config.min_symbols}: the bars hold {panel.n_symbols} "
            "symbols, and parameters are judged by ranks within a bar; use more symbols"
        )
    return panel


def _targets(config: TuningConfig, tables: Tables) -> tuple[str, ...]:
    """Targets asked for, or those selected."""
    known = set(tables.target_manifest["target"])
    wanted = tuple(config.targets) or tuple(tables.selected_targets["targets"])
    unknown = [target for target in wanted if target not in known]
    if unknown:
        raise UserError(
            f"tuning.targets: {', '.join(unknown)} is not in target_manifest; it has "
            + ", ".join(sorted(known))
        )
    if not wanted:
        raise UserError(
            "tuning.targets is empty, and no target was selected (selected_targets: "
            f"{tables.selected_targets.get('status', '')}); name the targets to tune for"
        )
    return wanted


def _base_jobs(
    config: TuningConfig,
    training: ModelTrainingConfig,
    jobs: JobsConfig,
    tables: Tables,
    targets: Sequence[str],
) -> list[TrainingJob]:
    """Make the jobs that training would make of these families over all symbols."""
    features = dict(tables.selected_features)
    bare = [target for target in targets if not features.get(target)]
    features.update(tables.screen(bare) if bare else {})
    made: list[TrainingJob] = []
    for families, strategy in _by_strategy(config.families, training):
        asked = {
            "families": families,
            "strategy": strategy,
            "ensembles": training.ensembles.model_copy(update={"methods": ()}),
            "symbol_families": (),
            "targets": (),
            "symbols": (),
            "model_types": "all",
            "seeds": (config.seed,),
        }
        made += expand_plan(
            _as_plan(targets, families, features, training),
            training.model_copy(update=asked),
            target_manifest=tables.target_manifest,
            splits=tables.splits,
            panel=tables.panel,
            features=tables.features,
            labels=tables.labels,
            store_root=jobs.store,
            threads=jobs.resolved()[1],
        )
    _refuse_bare(config, made)
    order = {name: place for place, name in enumerate(config.families)}
    return sorted(made, key=lambda job: (targets.index(job.target), order[job.family]))


def _by_strategy(
    families: Sequence[str], training: ModelTrainingConfig
) -> list[tuple[tuple[str, ...], str]]:
    """Families that are tuned on each target alone, and the one that learns several."""
    alone = tuple(name for name in families if name != SHARED)
    shared = tuple(name for name in families if name == SHARED)
    parts = [(alone, "single_task"), (shared, training.strategy)]
    return [part for part in parts if part[0]]


def _as_plan(
    targets: Sequence[str],
    families: Sequence[str],
    features: Mapping[str, Sequence[str]],
    training: ModelTrainingConfig,
) -> dict[str, Any]:
    """Give a plan with one pooled job per target."""
    rows = [
        {
            "job_id": target,
            "target": target,
            "symbol": None,
            "training_type": "cross_sectional",
            "view": "cross_section",
            "window": None,
            "families": list(families),
            "features": list(features[target]),
        }
        for target in targets
    ]
    refits = training.walk_forward.model_dump(mode="json")
    return {"jobs": rows, "metadata": {"walk_forward": refits}}


def _refuse_bare(config: TuningConfig, made: Sequence[TrainingJob]) -> None:
    """Refuse targets asked for by name that no family to tune can learn."""
    held = {target for job in made for target in job.heads}
    bare = [target for target in config.targets if target not in held]
    if bare:
        raise UserError(
            f"tuning.targets: none of tuning.families {', '.join(config.families)} can "
            f"learn {', '.join(bare)}; add one that can, or take it out."
        )


def _block_bars(manifest: pd.DataFrame, target: str) -> int:
    row = manifest[manifest["target"] == target].iloc[0]
    return block_length(int(row["entry_lag_bars"]), int(row["horizon_bars"]))
