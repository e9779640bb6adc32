"""InputCheck: a pipeline started alone refuses inputs that are missing or disagree."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import click
from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline

from ranking_pipeline.datasets import ArtefactDataset
from ranking_pipeline.errors import UserError
from ranking_pipeline.hooks.disagreements import disagreements, disputed, producer
from ranking_pipeline.hooks.given_leaderboard import follow_leaderboard
from ranking_pipeline.hooks.given_plan import follow_plan
from ranking_pipeline.hooks.named_by_hand import manual_faults
from ranking_pipeline.hooks.stored_files import (
    PLAN,
    StoredFiles,
    changed_faults,
    unreadable_documents,
    version_faults,
)


class InputCheck:
    """Look at all free inputs of the requested pipeline before its first node."""

    def __init__(self) -> None:
        self._files = StoredFiles({})

    @hook_impl
    def after_catalog_created(self, conf_catalog: dict[str, Any]) -> None:
        """Learn where every entry keeps its files."""
        self._files = StoredFiles(conf_catalog)

    @hook_impl
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog
    ) -> None:
        """Raise one error that names every missing or contradictory input."""
        project = Path(run_params["project_path"])
        if Path.cwd() != project.resolve():
            # Relative paths of bars and of the model store would mean another folder.
            raise click.ClickException(f"Run from the project's folder, {project}.")
        names, asked = sorted(pipeline.inputs()), run_params.get("load_versions") or {}
        outdated = follow_leaderboard(pipeline, catalog)
        problems = (
            version_faults(asked, pipeline, self._files)
            or outdated
            or _unusable(names, asked, catalog, self._files)
            or self._mixed(asked, pipeline, catalog)
            or manual_faults(pipeline, catalog)
        )
        if not problems and "raw_bars" in names:
            problems = _unreadable_bars(catalog)
        problems = problems or _absent_devices(names, catalog)
        if problems:
            raise click.ClickException("\n".join(problems))

    def _mixed(
        self, asked: Mapping[str, str], pipeline: Pipeline, catalog: DataCatalog
    ) -> list[str]:
        """What does not belong together; a plan given by version brings its routes."""
        version, names = asked.get(PLAN), sorted(pipeline.inputs())
        if version is None:
            return disagreements(names, catalog)
        gone = follow_plan(version, asked, pipeline, catalog, self._files)
        subjects = sorted(disputed(names, catalog))
        if gone or not subjects:
            return gone
        return [
            f"{PLAN} {version} was made from other data or parameters than there are "
            f"now ({', '.join(subjects)}): make them again with those of its run, "
            f"08_reporting/runs/{version}.json, or plan again."
        ]


def _unusable(
    names: Iterable[str],
    asked: Mapping[str, str],
    catalog: DataCatalog,
    files: StoredFiles,
) -> list[str]:
    """Inputs that are missing, were changed by hand, or cannot be read."""
    stored = [name for name in names if isinstance(catalog[name], ArtefactDataset)]
    changed = changed_faults(stored, asked, files, producer)
    missing = {
        name: f"{name} is missing or was never finished: run "
        f"`kedro run --pipelines={producer(name)}` first."
        for name in stored
        if not catalog[name].exists()
    }
    faults = list({**missing, **changed}.values())
    return faults or unreadable_documents(stored, catalog, producer)


def _unreadable_bars(catalog: DataCatalog) -> list[str]:
    from ranking_pipeline.bars.readers import inspect_source
    from ranking_pipeline.bars.sectors import read_sectors
    from ranking_pipeline.bars.split_table import read_splits
    from ranking_pipeline.bars.universe import read_spells
    from ranking_pipeline.labels.delisting import read_delistings

    source, data = catalog["raw_bars"].load(), catalog["params:data"].load()
    if source.simulated:
        return []
    readers: list[tuple[Callable[[str], Any], str | None]] = [
        (lambda path: inspect_source(path, data.of_source()), source.location),
        (read_sectors, data.sectors),
        (read_spells, data.universe),
        (read_splits, data.defects.split_table),
        (read_delistings, data.labels.delistings),
    ]
    problems = []
    for read, path in readers:
        try:
            if path is not None:
                read(path)
        except UserError as error:
            problems.append(str(error))
    return problems


def _absent_devices(names: Iterable[str], catalog: DataCatalog) -> list[str]:
    """What is wrong with the devices that the pipeline's networks ask for."""
    asked: list[tuple[str, str]] = []
    for section in {"params:cs_ranking", "params:raw_sequence"} & set(names):
        device = catalog[section].load().training.device
        asked.append((f"{section.removeprefix('params:')}.training", device))
    if "params:model_training" in names:
        training = catalog["params:model_training"].load()
        asked += [
            (f"model_training.parameters.{family}", block.get("device", "cpu"))
            for family, block in training.parameters.items()
            if family in training.families
        ]
    wanted = sorted({(key, device) for key, device in asked if device == "cuda"})
    if not wanted:
        return []
    from ranking_pipeline.learning.device import resolve_device

    try:
        resolve_device("cuda")
    except UserError as error:
        return [f"{key}: {error}" for key, _ in wanted]
    return []
