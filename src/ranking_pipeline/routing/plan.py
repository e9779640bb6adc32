"""Training plan: the jobs that the routing asks for, and views of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from ranking_pipeline.errors import UserError
from ranking_pipeline.models import registry
from ranking_pipeline.routing.config import RoutingConfig
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

POOLED_VIEW = "(pooled)"
PRIORITIES = {BOTH: 3, "CROSS_SECTIONAL": 2, SYMBOL_SPECIFIC: 2, EXPERIMENTAL: 1}


class Families(NamedTuple):
    """Model families of pooled jobs, and of those of one symbol."""

    families: tuple[str, ...]
    symbol_families: tuple[str, ...]


def build_training_plan(
    routing_plan: Mapping[str, Any],
    candidates: pd.DataFrame,
    features: Mapping[str, Sequence[str]],
    config: RoutingConfig,
    training: Families,
) -> dict[str, Any]:
    """Turn routes into jobs.

    Parameters
    ----------
    routing_plan : mapping
        From :func:`ranking_pipeline.routing.router.make_routing_plan`.
    candidates : DataFrame
        The table that it was made from.
    features : mapping of target to list of feature names
    config : RoutingConfig
    training : Families

    Returns
    -------
    dict
        A valid :class:`TrainingPlan`; jobs by descending priority, then by id.

    Raises
    ------
    UserError
        When there is no job and ``require_jobs`` is set.
    """
    jobs: list[Job] = []
    for target, decision in routing_plan["targets"].items():
        rows = candidates[candidates["target"] == target]
        jobs += _jobs_of(
            target, decision, rows, tuple(features[target]), config, training
        )
    jobs.sort(key=lambda job: (-job.priority, job.job_id))
    if not jobs and config.require_jobs:
        raise UserError(
            "training_plan has no jobs (status "
            f"{routing_plan['status']}) and routing.require_jobs is true. See "
            "routing_plan for the reasons, or set routing.require_jobs to false."
        )
    plan = TrainingPlan(
        schema_version=SCHEMA_VERSION,
        status=routing_plan["status"],
        metadata=_metadata(routing_plan, config, training),
        jobs=tuple(jobs),
        summary=summarise(jobs),
    )
    return plan.model_dump(mode="json")


def select_jobs(
    plan: Mapping[str, Any],
    *,
    targets: Iterable[str] | None = None,
    symbols: Iterable[str] | None = None,
    training_types: Iterable[str] | None = None,
    families: Iterable[str] | None = None,
) -> list[dict[str, Any]]:
    """Select the jobs that were asked for, with the families that were asked for.

    Parameters
    ----------
    plan : mapping
        A training plan.
    targets, symbols, training_types, families : iterables of str, optional
        None asks for all. A pooled job belongs to no symbol.

    Returns
    -------
    list of dict

    Raises
    ------
    UserError
        When the plan has jobs but none of those asked for: nothing is ever trained
        that the plan does not hold, and nothing silently.
    """
    asked = {
        "target": _asked(targets),
        "symbol": _asked(symbols),
        "training_type": _asked(training_types),
    }
    wanted = None if families is None else {registry.canonical(f) for f in families}
    chosen = []
    for job in plan["jobs"]:
        kept = [f for f in job["families"] if wanted is None or f in wanted]
        if kept and all(s is None or job[key] in s for key, s in asked.items()):
            chosen.append({**job, "families": kept})
    if plan["jobs"] and not chosen:
        limits = {key: sorted(s) for key, s in asked.items() if s is not None}
        limits |= {} if wanted is None else {"families": sorted(wanted)}
        raise UserError(
            f"none of the {len(plan['jobs'])} jobs of training_plan fits {limits}; "
            "ask for less, or run routing again."
        )
    return chosen


def plan_views(plan: Mapping[str, Any]) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Group the same jobs by target, by symbol and by type.

    Returns
    -------
    dict
        ``by_target``, ``by_symbol`` (pooled jobs under ``(pooled)``) and ``by_type``;
        each of them holds every job once.
    """
    keys: dict[str, Callable[[dict[str, Any]], str]] = {
        "by_target": lambda job: str(job["target"]),
        "by_symbol": lambda job: (
            POOLED_VIEW if job["symbol"] is None else job["symbol"]
        ),
        "by_type": lambda job: str(job["training_type"]),
    }
    views: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for name, key in keys.items():
        view: dict[str, list[dict[str, Any]]] = {}
        for job in plan["jobs"]:
            view.setdefault(key(job), []).append(job)
        views[name] = dict(sorted(view.items()))
    return views


def _jobs_of(
    target: str,
    decision: Mapping[str, Any],
    rows: pd.DataFrame,
    features: tuple[str, ...],
    config: RoutingConfig,
    training: Families,
) -> list[Job]:
    pooled = records(rows[rows["mode"] == POOLED])[0]
    symbols = {row["symbol"]: row for row in records(rows[rows["mode"] == SYMBOL])}
    jobs = []
    route = _pooled_route(decision, pooled, config)
    if route:
        jobs.append(
            _job(target, None, route, decision["reason"], pooled, features, training)
        )
    for symbol, choice in decision["symbols"].items():
        row = symbols[symbol]
        if _trains_symbol(choice, row, config):
            jobs.append(
                _job(
                    target,
                    symbol,
                    choice["route"],
                    choice["reason"],
                    row,
                    features,
                    training,
                )
            )
    return jobs


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
    target: str,
    symbol: str | None,
    route: str,
    reason: str,
    row: Mapping[str, Any],
    features: tuple[str, ...],
    training: Families,
) -> Job:
    pooled = symbol is None
    families = training.families if pooled else training.symbol_families
    return Job.model_validate(
        {
            "job_id": f"cs_{target}" if pooled else f"sym_{target}_{symbol}",
            "target": target,
            "symbol": symbol,
            "route": route,
            "training_type": POOLED if pooled else SYMBOL,
            "families": tuple(dict.fromkeys(registry.canonical(f) for f in families)),
            "features": features,
            "priority": PRIORITIES[route],
            "n_rows": int(row["n_rows"]),
            "reason": reason,
        }
    )


def _metadata(
    routing_plan: Mapping[str, Any],
    config: RoutingConfig,
    training: Families,
) -> dict[str, Any]:
    digest = hashlib.sha256(config.model_dump_json().encode()).hexdigest()
    return {
        "routing_mode": config.mode,
        "targets_requested": list(routing_plan["targets"]),
        "pooled_families": [registry.canonical(f) for f in training.families],
        "symbol_families": [registry.canonical(f) for f in training.symbol_families],
        "parameters_sha256": digest,
    }


def _asked(values: Iterable[str] | None) -> set[str] | None:
    return None if values is None else set(values)
