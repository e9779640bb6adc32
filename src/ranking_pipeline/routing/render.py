"""Rendering: the routing and the training plan as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def routing_markdown(plan: Mapping[str, Any]) -> str:
    """Render the routing plan as Markdown: targets, then the symbols that differ.

    Parameters
    ----------
    plan : mapping
        A routing plan.
    """
    lines = [
        "# Routing plan",
        "",
        f"Status: {plan['status']}, mode: {plan['mode']}",
        "",
    ]
    if not plan["targets"]:
        return "\n".join([*lines, "No target was selected, so nothing is routed.", ""])
    rows = [
        (target, decision["route"], decision["reason"])
        for target, decision in plan["targets"].items()
    ]
    lines += _table(("target", "route", "reason"), rows)
    for target, decision in plan["targets"].items():
        lines += _symbols(target, decision)
    return "\n".join([*lines, ""])


def plan_markdown(plan: Mapping[str, Any]) -> str:
    """Render the training plan as Markdown: counts, then one row per job.

    Parameters
    ----------
    plan : mapping
        A training plan.
    """
    total = plan["summary"]["total_jobs"]
    lines = ["# Training plan", "", f"Status: {plan['status']}, jobs: {total}", ""]
    if not total:
        return "\n".join([*lines, "There is nothing to train.", ""])
    counts = plan["summary"]["by_type"].items()
    lines += [*_table(("training type", "jobs"), list(counts)), ""]
    header = (
        "job",
        "target",
        "symbol",
        "route",
        "families",
        "features",
        "rows",
        "reason",
    )
    rows = [
        (
            job["job_id"],
            job["target"],
            job["symbol"] or "all",
            job["route"],
            ", ".join(job["families"]),
            len(job["features"]),
            job["n_rows"],
            job["reason"],
        )
        for job in plan["jobs"]
    ]
    return "\n".join([*lines, *_table(header, rows), ""])


def _symbols(target: str, decision: Mapping[str, Any]) -> list[str]:
    """Symbols whose route is not simply the pooled model of the target."""
    rows = [
        (symbol, choice["route"], choice["reason"])
        for symbol, choice in decision["symbols"].items()
        if choice["route"] != "CROSS_SECTIONAL"
    ]
    if not rows:
        return []
    title = f"## {_cell(target)}: {len(rows)} of {len(decision['symbols'])} symbols"
    return ["", title, "", *_table(("symbol", "route", "reason"), rows)]


def _table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    lines = [f"| {' | '.join(header)} |", f"|{' --- |' * len(header)}"]
    return [*lines, *(f"| {' | '.join(map(_cell, row))} |" for row in rows)]


def _cell(value: Any) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")
