"""Plan views: the jobs of a training plan by target, symbol, type and route."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

POOLED_VIEW = "(pooled)"


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
