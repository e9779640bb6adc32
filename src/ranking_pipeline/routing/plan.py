"""Training plan: the jobs that the routing asks for."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from ranking_pipeline.errors import UserError
from ranking_pipeline.models import registry
from ranking_pipeline.routing.config import RoutingConfig
from ranking_pipeline.routing.estimates import estimate
from ranking_pipeline.routing.plan_rows import job_id, with_enough_rows, with_families
from ranking_pipeline.routing.plan_schema import (
    SCHEMA_VERSION,
    Job,
    TrainingPlan,
    summarise,
)
from ranking_pipeline.routing.planned_fits import planned_fits
from ranking_pipeline.routing.router import BOTH, SYMBOL_SPECIFIC
from ranking_pipeline.routing.setting import Setting
from ranking_pipeline.routing.states import (
    DISALLOWED,
    EXPERIMENTAL,
    POOLED,
    SYMBOL,
    records,
)
from ranking_pipeline.routing.walk_forward import PlannedWindow, plan_windows
from ranking_pipeline.training.config import PlannedTraining

CROSS_SECTION = "cross_section"
PRIORITIES = {BOTH: 3, "CROSS_SECTIONAL": 2, SYMBOL_SPECIFIC: 2, EXPERIMENTAL: 1}


def build_training_plan(
    routing_plan: Mapping[str, Any],
    candidates: pd.DataFrame,
    features: Mapping[str, Sequence[str]],
    config: RoutingConfig,
    setting: Setting,
) -> dict[str, Any]:
    """Turn routes into jobs, one per window of the walk-forward.

    Parameters
    ----------
    routing_plan : mapping
        From :func:`ranking_pipeline.routing.router.make_routing_plan`.
    candidates : DataFrame
        The table that it was made from.
    features : mapping of target to list of feature names
    config : RoutingConfig
    setting : Setting

    Returns
    -------
    dict
        A valid :class:`TrainingPlan`; jobs by descending priority, then by id.

    Raises
    ------
    UserError
        When there is no job and ``require_jobs`` is set.
    """
    wanted: list[dict[str, Any]] = []
    for target, decision in routing_plan["targets"].items():
        rows = candidates[candidates["target"] == target]
        names = {"target": target, "features": tuple(features[target])}
        view = {"view": decision.get("view", CROSS_SECTION)}
        wanted += [{**names, **view, **row} for row in _wanted(decision, rows, config)]
    if not wanted and config.require_jobs:
        raise UserError(
            "training_plan has no jobs (status "
            f"{routing_plan['status']}) and routing.require_jobs is true. See "
            "routing_plan for the reasons, or set routing.require_jobs to false."
        )
    return assemble_plan(
        wanted,
        setting,
        status=routing_plan["status"],
        metadata=_metadata(routing_plan, config, setting.training),
    )


def assemble_plan(
    wanted: Sequence[Mapping[str, Any]],
    setting: Setting,
    *,
    status: str,
    metadata: Mapping[str, Any],
) -> dict[str, Any]:
    """Give each wanted model its families, windows and estimates, and check the whole.

    Parameters
    ----------
    wanted : sequence of mapping
        ``target``, ``symbol``, ``view``, ``route``, ``features``, ``n_rows`` (labelled
        rows of the train block) and ``reason``.
    setting : Setting
    status : str
    metadata : mapping

    Returns
    -------
    dict
        A valid :class:`TrainingPlan`, without the windows that cannot have
        ``min_train_rows`` rows (``metadata.too_few_rows`` names their jobs) and without
        the families that cannot learn a target (``metadata.unable``).

    Raises
    ------
    UserError
        When no window can have that many, or no family can learn any of the targets.
    """
    windows = plan_windows(setting.axis, setting.training.walk_forward)
    readers = Counter((row["target"], row["symbol"] is None) for row in wanted)
    able, unable = with_families(wanted, setting)
    planned, scarce = with_enough_rows(
        [(row, window) for row in able for window in windows], setting
    )
    rows = [_row(row, window, setting) for row, window in planned]
    rows.sort(key=lambda row: (-row["priority"], row["job_id"]))
    fits = planned_fits(rows, setting.tasks, setting.training)
    jobs = []
    for row, folds in zip(rows, fits, strict=True):
        share = readers[row["target"], row["symbol"] is None] * len(windows)
        jobs.append(_job(row, folds, share, setting))
    left_out = {"too_few_rows": scarce, "unable": unable}
    plan = TrainingPlan(
        schema_version=SCHEMA_VERSION,
        status=status,
        metadata={**metadata, **{name: x for name, x in left_out.items() if x}},
        jobs=tuple(jobs),
        summary=summarise(jobs),
    )
    return plan.model_dump(mode="json")


def _wanted(
    decision: Mapping[str, Any], rows: pd.DataFrame, config: RoutingConfig
) -> list[dict[str, Any]]:
    """Models that a target's decision asks for: the pooled one, then the symbols'."""
    pooled = records(rows[rows["mode"] == POOLED])[0]
    symbols = {row["symbol"]: row for row in records(rows[rows["mode"] == SYMBOL])}
    wanted = []
    route = _pooled_route(decision, pooled, config)
    if route:
        wanted.append(_want(None, route, decision["reason"], pooled))
    for symbol, choice in decision["symbols"].items():
        row = symbols[symbol]
        if _trains_symbol(choice, row, config):
            wanted.append(_want(symbol, choice["route"], choice["reason"], row))
    return wanted


def _want(
    symbol: str | None, route: str, reason: str, row: Mapping[str, Any]
) -> dict[str, Any]:
    n_rows = int(row["n_rows"])
    return {"symbol": symbol, "route": route, "reason": reason, "n_rows": n_rows}


def _pooled_route(
    decision: Mapping[str, Any], pooled: Mapping[str, Any], config: RoutingConfig
) -> str | None:
    """Route of the pooled job of a target, or None where it has none."""
    if decision["route"] == "BLOCKED" or config.mode == "symbol_specific":
        return None
    if config.mode == "cross_sectional":
        return "CROSS_SECTIONAL"
    if pooled["state"] == DISALLOWED:
        return None
    # where symbols go their own way, an unproven pooled model is left for the rest
    return EXPERIMENTAL if pooled["state"] == EXPERIMENTAL else str(decision["route"])


def _trains_symbol(
    choice: Mapping[str, Any], row: Mapping[str, Any], config: RoutingConfig
) -> bool:
    if choice["route"] in {SYMBOL_SPECIFIC, BOTH}:
        return True
    experiment = {choice["route"], row["state"]} == {EXPERIMENTAL}
    return experiment


def _row(
    row: Mapping[str, Any], window: PlannedWindow, setting: Setting
) -> dict[str, Any]:
    """All of a job but its estimate."""
    return {
        **row,
        "job_id": job_id(row, window),
        "training_type": POOLED if row["symbol"] is None else SYMBOL,
        "priority": PRIORITIES[row["route"]],
        "n_rows": _rows_of_window(row["n_rows"], window, setting),
        "window": window.number,
        **window.dates(setting.axis),
    }


def _job(
    row: Mapping[str, Any], folds: Mapping[str, int], readers: int, setting: Setting
) -> Job:
    training = setting.training
    held_out = training.walk_forward.validation_share if row["window"] else 0.0
    fitted = round(row["n_rows"] * (1 - held_out))
    cost = estimate(row, fitted, readers, setting.market, training, folds)
    return Job.model_validate({**row, "estimate": cost})


def _rows_of_window(n_rows: int, window: PlannedWindow, setting: Setting) -> int:
    """Rows of a window, as many per bar as the train block has."""
    if not window.number:
        return n_rows
    train = setting.axis.splits.train
    n_bars = window.bars.train_last - window.bars.train_first + 1
    return round(n_rows * n_bars / (train.last_bar - train.first_bar + 1))


def _metadata(
    routing_plan: Mapping[str, Any],
    config: RoutingConfig,
    training: PlannedTraining,
) -> dict[str, Any]:
    digest = hashlib.sha256(config.model_dump_json().encode()).hexdigest()
    return {
        "routing_mode": config.mode,
        "targets_requested": list(routing_plan["targets"]),
        **families_of(training),
        "parameters_sha256": digest,
    }


def families_of(training: PlannedTraining) -> dict[str, Any]:
    """Families and walk-forward that a plan was made with."""
    return {
        "pooled_families": [registry.canonical(f) for f in training.families],
        "symbol_families": [registry.canonical(f) for f in training.symbol_families],
        "walk_forward": training.walk_forward.model_dump(mode="json"),
    }
