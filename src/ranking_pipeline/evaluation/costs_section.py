"""Costs section: what choosing and training took, in time and memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from ranking_pipeline.evaluation.section import Section, table_of

NAME = "costs"
COLUMNS = [
    ("label", "work", "text"), ("n_jobs", "jobs", "int"),
    ("n_cached", "from the cache", "int"), ("seconds", "seconds", "number"),
    ("busy_seconds", "of all workers", "number"),
    ("saved_seconds", "saved by the cache", "number"),
    ("peak_megabytes", "peak MB of a process", "int"), ("engine", "engine", "text"),
    ("workers", "workers", "int"),
]  # fmt: skip


def costs_section(costs: Sequence[Mapping[str, Any]]) -> Section:
    """Show the seconds, the memory and the cache hits of each fan-out.

    Parameters
    ----------
    costs : sequence of mapping
        ``Costs.to_dict()`` of each fan-out, in the order of the stages.

    Returns
    -------
    Section
        The only part of the report that differs between two runs on the same inputs.
    """
    title = "Time and memory"
    if not costs:
        return Section(NAME, title, "No stage of this report has been timed.")
    frame = pd.DataFrame(list(costs))
    jobs, hits = int(frame["n_jobs"].sum()), int(frame["n_cached"].sum())
    saved = frame["saved_seconds"].sum()
    cached = (
        f"{hits:,} were answered from the cache, which saved {saved:.0f} seconds of work"
        if hits
        else "none came from the cache"
    )
    lead = (
        f"{jobs:,} jobs in {frame['seconds'].sum():.0f} seconds; {cached}. The largest "
        f"process had {frame['peak_megabytes'].max():,.0f} MB."
    )
    note = (
        "Of the last run of each stage; models found in the store count as jobs. Only "
        "this section, its line in the summary included, differs between two runs of "
        "the same job on the same bars."
    )
    return Section(
        NAME, title, lead, (table_of(frame, "Fan-outs", COLUMNS, caption=note),)
    )
