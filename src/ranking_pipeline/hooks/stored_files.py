"""Stored files: the versions of an artefact on disk, and those that were changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from kedro.io import DataCatalog, DatasetError
from kedro.pipeline import Pipeline

from ranking_pipeline.datasets import JsonDataset
from ranking_pipeline.errors import UserError
from ranking_pipeline.routing.plan_schema import read_training_plan
from ranking_pipeline.storage import manifest_path, read_manifest

PLAN = "training_plan"
_SHOWN = 5
_OF_A_PLAN = (
    "A plan is trained as routing wrote it; model_training.targets, symbols, families "
    "and model_types take a part of it. "
)


class StoredFiles:
    """Where each entry of the catalog keeps its file, or its versions.

    Parameters
    ----------
    entries : mapping
        The configuration of each catalog entry, resolved.
    """

    def __init__(self, entries: Mapping[str, Any]) -> None:
        self._entries = entries

    def is_versioned(self, name: str) -> bool:
        """Whether an entry keeps every version."""
        return bool(self._entries.get(name, {}).get("versioned", False))

    def versions(self, name: str) -> list[str]:
        """Complete versions of an entry, the newest first."""
        return [file.parent.name for file in self._files(name) if read_manifest(file)]

    def changed(self, name: str, version: str | None) -> Path | None:
        """Find the file that a load would want and that is not as it was written.

        A file without a manifest belongs to a run that was killed; one with a manifest
        that does not fit was changed by somebody else.
        """
        files = [file for file in self._files(name) if manifest_path(file).exists()]
        if version is not None:
            files = [file for file in files if file.parent.name == version]
        return files[0] if files and read_manifest(files[0]) is None else None

    def _files(self, name: str) -> list[Path]:
        entry = self._entries.get(name, {})
        if "filepath" not in entry:
            return []
        place = Path(entry["filepath"])
        if not self.is_versioned(name):
            return [place] if place.is_file() else []
        return sorted(place.glob(f"*/{place.name}"), reverse=True)


def version_faults(
    asked: Mapping[str, str], pipeline: Pipeline, files: StoredFiles
) -> list[str]:
    """What is wrong with the versions that ``--load-versions`` asks for."""
    faults = []
    for name, version in asked.items():
        there = files.versions(name)
        if name not in pipeline.inputs():
            faults.append(f"--load-versions: this run does not read {name} from disk.")
        elif not files.is_versioned(name):
            faults.append(f"--load-versions: {name} keeps no versions.")
        elif version not in there and not files.changed(name, version):
            newest = ", ".join(there[:_SHOWN]) or "none"
            faults.append(
                f"{name} has no version {version!r}; the newest that exist: {newest}."
            )
    return faults


def changed_faults(
    names: Iterable[str],
    asked: Mapping[str, str],
    files: StoredFiles,
    again: Callable[[str], str],
) -> dict[str, str]:
    """Name inputs whose files were changed after they were written, with the remedy.

    Parameters
    ----------
    names
        Inputs from the catalog.
    asked
        Versions asked for.
    files
    again
        Gives the pipeline that makes an input.
    """
    faults = {}
    for name in names:
        path = files.changed(name, asked.get(name))
        if path is None:
            continue
        older = f", or delete {path.parent} to take an older one"
        faults[name] = (
            f"{name} was changed after it was written: {path} does not fit its manifest. "
            f"{_OF_A_PLAN if name == PLAN else ''}Run `kedro run --pipelines="
            f"{again(name)}` again{older if files.is_versioned(name) else ''}."
        )
    return faults


def unreadable_documents(
    names: Iterable[str], catalog: DataCatalog, again: Callable[[str], str]
) -> list[str]:
    """Small inputs that are damaged, no JSON, or in the plan's case no plan."""
    faults = []
    for name in names:
        dataset = catalog[name]
        if not isinstance(dataset, JsonDataset):
            continue
        try:
            value = dataset.load()
            if name == PLAN:
                read_training_plan(value)
        except UserError as error:
            faults.append(f"{name}: {dataset.load_path()}: {error}")
        except DatasetError as error:
            told = str(error.__cause__ or error)
            if not isinstance(error.__cause__, UserError):
                told = (
                    f"{dataset.load_path()} is no valid JSON ({told}). Run `kedro run "
                    f"--pipelines={again(name)}` again."
                )
            faults.append(f"{name}: {told}")
    return faults
