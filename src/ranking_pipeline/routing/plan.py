"""Training plan: the jobs that the routing asks for, and views of them."""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ranking_pipeline.errors import UserError
from ranking_pipeline.models import registry
from ranking_pipeline.panel import Panel
from ranking_pipeline.routing.config import RoutingConfig
from ranking_pipeline.routing.estimates import Market, estimate
from ranking_pipeline.routing.plan_schema import (
    SCHEMA_VERSION,
    Job,
    TrainingPlan,
    summarise,
)
from ranking_pipeline.routing.router import BOTH, SYMBOL_SPECIFIC
from ranking_pipeline.routing.states import (
    DISALLOWED,
    EXPERIMENTAL,
    POOLED,
    SYMBOL,
    records,
)
from ranking_pipeline.routing.walk_forward import (
    PlannedWindow,
    TimeAxis,
    plan_windows,
)
from ranking_pipeline.routing.window_rows import TradableBars
from ranking_pipeline.splits import Splits
from ranking_pipeline.training.config import PlannedTraining

_log = logging.getLogger(__name__)
POOLED_VIEW = "(pooled)"
CROSS_SECTION = "cross_section"
PRIORITIES = {BOTH: 3, "CROSS_SECTIONAL": 2, SYMBOL_SPECIFIC: 2, EXPERIMENTAL: 1}


@dataclass(frozen=True)
class Setting:
    """Where the plan will be carried out.

    Attributes
    ----------
    axis : TimeAxis
        Bars and splits, which the windows are cut from.
    market : Market
        Size of the stored tables.
    tasks : mapping of target to task
    training : PlannedTraining
        Families, their parameters, seeds and the walk-forward.
    tradable : TradableBars, optional
        Tells windows that cannot have enough rows; without it all are planned.
    """

    axis: TimeAxis
    market: Market
    tasks: Mapping[str, str]
    training: PlannedTraining
    tradable: TradableBars | None = None

    @classmethod
    def of(
        cls,
        panel: Panel,
        splits: Mapping[str, Any],
        target_manifest: pd.DataFrame,
        training: PlannedTraining,
    ) -> Setting:
        """Take it from what a pipeline has at hand."""
        axis = TimeAxis.of(panel, Splits.from_dict(splits))
        names, kinds = (target_manifest[name] for name in ("target", "task"))
        tasks = dict(zip(map(str, names), map(str, kinds), strict=True))
        classes = frozenset(name for name in tasks if tasks[name] == "three_class")
        market = Market(int(panel.tradable.sum()), classes)
        return cls(axis, market, tasks, training, TradableBars.of(panel))

    def most_rows(self, symbol: str | None, window: PlannedWindow) -> int | None:
        """Rows that a model can fit at most; None where that is not known."""
        if self.tradable is None or not window.number:
            return None
        share = self.training.walk_forward.validation_share
        embargo = self.axis.splits.embargo_bars
        return self.tradable.most_rows(window.bars, share, embargo, symbol)

    def families(self, target: str, own: bool) -> tuple[str, ...]:
        """Families for a target: those enabled that can learn its task.

        Raises
        ------
        UserError
            When none can.
        """
        key = "symbol_families" if own else "families"
        names = [registry.canonical(name) for name in getattr(self.training, key)]
        task = self.tasks[target]
        able = [name for name in names if task in registry.listing(name).tasks]
        if not able:
            raise UserError(
                f"none of model_training.{key} {names} can learn {target} ({task}); "
                "enable one that can."
            )
        return tuple(dict.fromkeys(able))


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
        ``min_train_rows`` rows; ``metadata.too_few_rows`` names their jobs.

    Raises
    ------
    UserError
        When no window can have that many.
    """
    windows = plan_windows(setting.axis, setting.training.walk_forward)
    readers = Counter((row["target"], row["symbol"] is None) for row in wanted)
    planned, scarce = _with_enough_rows(
        [(row, window) for row in wanted for window in windows], setting
    )
    jobs = [
        _job(
            row,
            window,
            readers[row["target"], row["symbol"] is None] * len(windows),
            setting,
        )
        for row, window in planned
    ]
    jobs.sort(key=lambda job: (-job.priority, job.job_id))
    plan = TrainingPlan(
        schema_version=SCHEMA_VERSION,
        status=status,
        metadata={**metadata, **({"too_few_rows": scarce} if scarce else {})},
        jobs=tuple(jobs),
        summary=summarise(jobs),
    )
    return plan.model_dump(mode="json")


def _with_enough_rows(
    pairs: Sequence[tuple[Mapping[str, Any], PlannedWindow]], setting: Setting
) -> tuple[list[tuple[Mapping[str, Any], PlannedWindow]], dict[str, int]]:
    """Keep what can be fitted; of the rest, give the most rows of each job by its id."""
    fewest = setting.training.walk_forward.min_train_rows
    kept, scarce = [], {}
    for row, window in pairs:
        rows = setting.most_rows(row["symbol"], window)
        if rows is None or rows >= fewest:
            kept.append((row, window))
        else:
            scarce[_job_id(row, window)] = rows
    if scarce:
        told = (
            f"{len(scarce)} of {len(pairs)} jobs have fewer rows to fit than "
            f"model_training.walk_forward.min_train_rows {fewest}, first "
            f"{next(iter(scarce))} with {next(iter(scarce.values()))}"
        )
        if not kept:
            raise UserError(f"{told}; nothing is left to plan. Lower it.")
        _log.warning("plan: %s; they are left out", told)
    return kept, scarce


def plan_views(plan: Mapping[str, Any]) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Group the same jobs by target, by symbol, by type and by route.

    Returns
    -------
    dict
        ``by_target``, ``by_symbol`` (pooled jobs under ``(pooled)``), ``by_type`` and
        ``by_route``; each of them holds every job once.
    """
    keys: dict[str, Callable[[dict[str, Any]], str]] = {
        "by_target": lambda job: str(job["target"]),
        "by_symbol": lambda job: (
            POOLED_VIEW if job["symbol"] is None else job["symbol"]
        ),
        "by_type": lambda job: str(job["training_type"]),
        "by_route": lambda job: str(job["route"]),
    }
    views: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for name, key in keys.items():
        view: dict[str, list[dict[str, Any]]] = {}
        for job in plan["jobs"]:
            view.setdefault(key(job), []).append(job)
        views[name] = dict(sorted(view.items()))
    return views


def view_files(plan: Mapping[str, Any]) -> dict[str, str]:
    """Write each group of each view of a plan as a JSON text, by ``view/group.json``."""
    return {
        f"{view}/{group}.json": json.dumps(jobs, indent=2, ensure_ascii=False)
        for view, groups in plan_views(plan).items()
        for group, jobs in groups.items()
    }


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


def _job(
    row: Mapping[str, Any], window: PlannedWindow, readers: int, setting: Setting
) -> Job:
    pooled = row["symbol"] is None
    training = setting.training
    n_rows = _rows_of_window(row["n_rows"], window, setting)
    held_out = training.walk_forward.validation_share if window.number else 0.0
    job = {
        **row,
        "job_id": _job_id(row, window),
        "training_type": POOLED if pooled else SYMBOL,
        "families": setting.families(row["target"], own=not pooled),
        "priority": PRIORITIES[row["route"]],
        "n_rows": n_rows,
        "window": window.number,
        **window.dates(setting.axis),
    }
    fitted = round(n_rows * (1 - held_out))
    cost = estimate(job, fitted, readers, setting.market, training)
    return Job.model_validate({**job, "estimate": cost})


def _job_id(row: Mapping[str, Any], window: PlannedWindow) -> str:
    target, symbol = row["target"], row["symbol"]
    named = f"cs_{target}" if symbol is None else f"sym_{target}_{symbol}"
    return f"{named}_w{window.number:03d}" if window.number else named


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
