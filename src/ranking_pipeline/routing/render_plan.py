"""Rendering the training plan: what would be trained, why, how long, how much memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ranking_pipeline.routing.markdown import table
from ranking_pipeline.training.plan_filters import told_unable
from ranking_pipeline.wording import counted, shortened

SHOWN_SYMBOLS = 100
TIMES = ("train_start", "train_end", "predict_start", "predict_end")
ACCURACY = (
    "Times are estimates for one thread and one core of a server, from measured costs "
    "per family; they are good to about a factor of 3. Models that exist already are "
    "not trained again, which the estimate does not know."
)


def plan_markdown(plan: Mapping[str, Any]) -> str:
    """Render the training plan as Markdown: totals, windows, pooled and own models.

    Parameters
    ----------
    plan : mapping
        A training plan of schema version 2.
    """
    summary, jobs = plan["summary"], plan["jobs"]
    lines = ["# Training plan", "", f"Status: {plan['status']}", ""]
    note = plan["metadata"].get("note")
    lines += [note, ""] if note else []
    lines += _left_out(plan["metadata"])
    if not jobs:
        return "\n".join([*lines, "There is nothing to train.", ""])
    lines += [*_totals(summary), "", *_counts(summary), ""]
    lines += _windows(jobs)
    pooled = [job for job in _first_windows(jobs) if job["symbol"] is None]
    own = [job for job in _first_windows(jobs) if job["symbol"] is not None]
    lines += _models("Models over all symbols", pooled)
    lines += _models("Models of one symbol", own)
    return "\n".join(lines)


def _left_out(metadata: Mapping[str, Any]) -> list[str]:
    """Name families that cannot learn a target, and windows with too few rows."""
    unable = metadata.get("unable", {})
    lines = [f"- {told_unable(*one)}." for one in unable.items()]
    lines += [""] if lines else []
    scarce = metadata.get("too_few_rows", {})
    if not scarce:
        return lines
    fewest = metadata["walk_forward"]["min_train_rows"]
    names = shortened([f"{name} ({rows})" for name, rows in scarce.items()], 5)
    text = (
        f"Left out, because fewer than `min_train_rows` {fewest} rows can be fitted: "
        f"{names}. Their months have no prediction of these models."
    )
    return [*lines, text, ""]


def _totals(summary: Mapping[str, Any]) -> list[str]:
    cost = summary["estimate"]
    folds = cost.get("fold_models", 0)
    more = f", and {counted(folds, 'model')} of folds besides," if folds else ""
    text = (
        f"{counted(summary['total_jobs'], 'job')} with "
        f"{counted(cost['models'], 'model')} (one per family){more} learn from "
        f"{cost['rows']:,} rows in all."
    )
    rows = [
        (on["workers"], minutes(on["minutes"]), f"{on['peak_megabytes']:,}")
        for on in cost["on_workers"]
    ]
    expected = table(("workers", "expected time", "MB"), rows)
    return [text, "", *expected, "", ACCURACY]


def _counts(summary: Mapping[str, Any]) -> list[str]:
    names = {"by_type": "training type", "by_route": "route", "by_target": "target"}
    rows = [
        (names[key], value, count)
        for key in names
        for value, count in summary[key].items()
    ]
    return table(("jobs by", "", "jobs"), rows)


def _windows(jobs: Sequence[Mapping[str, Any]]) -> list[str]:
    """When is learned and when predicted, once for all jobs of a window."""
    spans = {
        (job["window"], *(job[time] for time in TIMES))
        for job in jobs
        if job["train_start"] is not None
    }
    if not spans:
        return []
    counts = {
        number: sum(job["window"] == number for job in jobs)
        for number in {span[0] for span in spans}
    }
    rows = [
        (span[0] or "-", *(time[:16].replace("T", " ") for time in span[1:]), n)
        for span in sorted(spans)
        for n in [counts[span[0]]]
    ]
    header = ("window", "learns from", "labels known by", "predicts from", "to", "jobs")
    return ["## When", "", *table(header, rows), ""]


def _first_windows(jobs: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """One job for all windows of the same models, with their estimates added up."""
    merged: dict[tuple[Any, ...], dict[str, Any]] = {}
    for job in jobs:
        key = (job["target"], job["symbol"], tuple(job["families"]))
        first = merged.setdefault(key, {**job, "seconds": 0.0, "megabytes": 0})
        cost = job["estimate"] or {"seconds": 0.0, "megabytes": 0}
        first["seconds"] += cost["seconds"]
        first["megabytes"] = max(first["megabytes"], cost["megabytes"])
        first["n_rows"] = max(first["n_rows"], job["n_rows"])
    return list(merged.values())


def _models(title: str, jobs: Sequence[Mapping[str, Any]]) -> list[str]:
    if not jobs:
        return []
    header = (
        "target", "symbol", "route", "families", "features", "rows",
        "time", "MB", "why",
    )  # fmt: skip
    rows = [
        (
            job["target"],
            job["symbol"] or "all",
            job["route"],
            ", ".join(job["families"]),
            len(job["features"]),
            f"{job['n_rows']:,}",
            minutes(job["seconds"] / 60) if job["seconds"] else "?",
            f"{job['megabytes']:,}" if job["megabytes"] else "?",
            job["reason"],
        )
        for job in jobs[:SHOWN_SYMBOLS]
    ]
    left = len(jobs) - len(rows)
    more = [f"… and {left} more, see the plan itself.", ""] if left else []
    return [f"## {title}", "", *table(header, rows), "", *more]


def minutes(value: float) -> str:
    """Time in a unit that can be read."""
    if value < 1:
        return f"{60 * value:.0f} s"
    return f"{value:.0f} min" if value < 120 else f"{value / 60:.1f} h"
