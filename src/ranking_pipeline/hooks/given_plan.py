"""Given plan: a version of the training plan is trained whatever ran after it."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from typing import Any

from kedro.io import DataCatalog, MemoryDataset, Version
from kedro.pipeline import Pipeline

from ranking_pipeline.datasets import ArtefactDataset
from ranking_pipeline.hooks.lineage import claims
from ranking_pipeline.hooks.stored_files import PLAN, StoredFiles

ROUTES = "routing_plan"
# What the report shows of the stages before the plan; only the latest is kept.
DECIDED = ("target_ranking", "feature_selection", "routing")
_log = logging.getLogger(__name__)


def follow_plan(
    version: str,
    asked: Mapping[str, str],
    pipeline: Pipeline,
    catalog: DataCatalog,
    files: StoredFiles,
) -> list[str]:
    """Load the routes that a given plan was made from, and leave out what is not its.

    Sections of the report that tell of later runs are replaced in the catalog by a note.

    Parameters
    ----------
    version : str
        Of the training plan.
    asked : mapping
        All versions asked for.
    pipeline : Pipeline
    catalog : DataCatalog
    files : StoredFiles

    Returns
    -------
    list of str
        Why the plan cannot be trained; empty where it can.
    """
    inputs = pipeline.inputs()
    problems = []
    if ROUTES in inputs and ROUTES not in asked:
        routes = _routes_of(version, catalog, files)
        if routes is None:
            problems.append(
                f"the {ROUTES} that {PLAN} {version} was made from is gone; plan again."
            )
        else:
            catalog[ROUTES] = routes
    _leave_out_others(version, inputs, catalog)
    return problems


def _routes_of(
    version: str, catalog: DataCatalog, files: StoredFiles
) -> ArtefactDataset[Any, Any] | None:
    """Routes with the content that the plan names; those of its own run first."""
    wanted = claims(PLAN, catalog).get(ROUTES)
    there = files.versions(ROUTES)
    for candidate in sorted(there, key=lambda name: name != version):
        routes = _at_version(candidate, catalog)
        manifest = routes.manifest()
        # a plan without evidence is made beside its routes, and not from them
        same_run = wanted is None and candidate == version
        if manifest and (same_run or manifest.sha256 == wanted):
            return routes
    return None


def _at_version(version: str, catalog: DataCatalog) -> ArtefactDataset[Any, Any]:
    latest = catalog[ROUTES]
    assert isinstance(latest, ArtefactDataset)
    kept = Version(version, latest.resolve_save_version())
    routes = catalog.get(ROUTES, version=kept)
    assert isinstance(routes, ArtefactDataset)
    return routes


def _leave_out_others(
    version: str, inputs: Collection[str], catalog: DataCatalog
) -> None:
    """Put a note in the place of each section that was made from something else."""
    plan = claims(PLAN, catalog)
    others = [
        stage
        for stage in DECIDED
        if f"{stage}_section" in inputs
        and _contradict(claims(f"{stage}_section", catalog), plan)
    ]
    for stage in others:
        section = catalog[f"{stage}_section"].load()
        lead = f"Not shown: this stage ran again after {PLAN} {version} was made."
        note = {**section, "lead": lead, "tables": [], "figures": []}
        catalog[f"{stage}_section"] = MemoryDataset(note)
        if f"{stage}_costs" in inputs:
            catalog[f"{stage}_costs"] = MemoryDataset([])
    if others:
        _log.warning(
            "%s %s is older than the latest %s: the report leaves them out",
            PLAN,
            version,
            ", ".join(others),
        )


def _contradict(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    return any(one[name] != other[name] for name in one.keys() & other.keys())
