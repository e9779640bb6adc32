"""Promotion: a trained model becomes an immutable version that an alias means."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ranking_pipeline.errors import UserError
from ranking_pipeline.models.promoted import (
    META_FILE,
    WEIGHTS_FILE,
    Promoted,
    resolve,
)
from ranking_pipeline.models.promoted_files import (
    MODELS,
    NETWORK,
    RECORD,
    SCHEMA_VERSION,
    alias_file,
    read_alias,
    read_record,
)
from ranking_pipeline.models.store import ModelStore
from ranking_pipeline.storage import sha256_file, sha256_json, sync, write_json

__all__ = ["Candidate", "NetworkFiles", "meant_version", "promote", "resolve"]

_UNFINISHED = ".unfinished"
_DIGITS = 16


@dataclass(frozen=True)
class NetworkFiles:
    """A ranking network as files.

    Attributes
    ----------
    weights
        Content of the safetensors file; its SHA-256 is ``model_checksum`` of ``meta``.
    meta
        The meta document of the network.
    """

    weights: bytes
    meta: Mapping[str, Any]


@dataclass(frozen=True)
class Candidate:
    """What is to be promoted.

    Attributes
    ----------
    model_id, target, route
        Of the row of the leaderboard.
    parts
        Rows of the fitted models behind it, each with ``model_id`` and ``key`` (of the
        model store), and what is needed to join their scores.
    routing_plan
        Of the target, where the row is made of other models' scores.
    validation
        Measures on the validation block, as ``rank_ic`` and ``ic_t``. The test block
        takes no part in a promotion.
    provenance
        Run and data from which the models came.
    informed_until
        Latest instant (ISO 8601, UTC) of which a fit or the choice could have known.
    network
        Files of a ranking network, which the model store does not have; its only part
        then has the hash of the meta document as its key.
    """

    model_id: str
    target: str
    route: str
    parts: Sequence[Mapping[str, Any]]
    routing_plan: Mapping[str, Any] | None
    validation: Mapping[str, float | None]
    provenance: Mapping[str, Any]
    informed_until: str | None = None
    network: NetworkFiles | None = None

    @property
    def version(self) -> str:
        """Hash of what decides the scores: the same model has the same version."""
        identity = [self.model_id, self.target, self.route, self.routing_plan]
        # a part of an ensemble has a weight besides
        known = ("model_id", "key", "weight")
        keys = [[part[name] for name in known if name in part] for part in self.parts]
        return sha256_json([identity, keys])[:_DIGITS]


def promote(
    candidate: Candidate, store: ModelStore, registry: Path, alias: str
) -> Promoted:
    """Copy a model out of the model store and let an alias mean the copy.

    The copy is complete on the disk before its folder gets its name, and the folder has
    its name before the alias names it: wherever the process is killed, the alias means
    the old version or the new one, and the same promotion done again finishes it. A
    version that exists is never written again, and an alias that already means it stays
    as it is.

    Raises
    ------
    UserError
        When a part is missing from the store or damaged, or a version of the same name
        is not what was promoted.
    """
    alias_file(registry, alias)  # a bad name before any work
    folder = registry / alias / candidate.version
    with _alone(registry / alias):
        if folder.exists():
            _verify(folder, alias)
        else:
            _copy(candidate, store, folder)
        _point(registry, alias, candidate.version)
    return resolve(registry, alias)


def _copy(candidate: Candidate, store: ModelStore, folder: Path) -> None:
    scratch = folder.with_name(f"{_UNFINISHED}-{folder.name}")
    scratch.mkdir()
    if candidate.network is None:
        parts = [_copy_part(part, store, scratch / MODELS) for part in candidate.parts]
    else:
        parts = _write_network(candidate, candidate.network, scratch / NETWORK)
    record = {
        "schema_version": SCHEMA_VERSION,
        "version": candidate.version,
        "model_id": candidate.model_id,
        "target": candidate.target,
        "route": candidate.route,
        "validation": dict(candidate.validation),
        "informed_until": candidate.informed_until,
        "provenance": dict(candidate.provenance),
        "parts": parts,
        "routing_plan": candidate.routing_plan,
    }
    write_json(scratch / RECORD, record)
    for path in sorted(scratch.rglob("*")):
        if path.is_file():
            path.chmod(0o444)
            sync(path)
    for path in (*(path for path in scratch.rglob("*") if path.is_dir()), scratch):
        sync(path)
    os.rename(scratch, folder)
    sync(folder.parent)


def _copy_part(
    part: Mapping[str, Any], store: ModelStore, models: Path
) -> dict[str, Any]:
    """Copy one entry and check the copy against the entry's own document."""
    entry = store.verified(part["key"])
    copy = ModelStore(models)
    copied = copy.folder(entry.key)
    copied.mkdir(parents=True, exist_ok=True)
    manifest = store.manifest_of(entry.key)
    for name in (*entry.files, manifest.name):
        shutil.copyfile(entry.folder / name, copied / name)
    copy.verified(entry.key)
    return {**part, "manifest_sha256": sha256_file(copied / manifest.name)}


def _write_network(
    candidate: Candidate, network: NetworkFiles, folder: Path
) -> list[dict[str, Any]]:
    """Write the two files of a ranking network, and check them against each other."""
    folder.mkdir()
    (folder / WEIGHTS_FILE).write_bytes(network.weights)
    write_json(folder / META_FILE, network.meta)
    if sha256_file(folder / WEIGHTS_FILE) != network.meta["model_checksum"]:
        raise UserError(
            f"{candidate.model_id}: the weights are not those that the meta document "
            "vouches for: take cs_model and cs_model_meta of the same run."
        )
    (part,) = candidate.parts
    return [{**part, "manifest_sha256": sha256_file(folder / META_FILE)}]


def _verify(folder: Path, alias: str) -> None:
    """Check a version that is there already; it is used again as it is."""
    Promoted(alias, folder.name, folder, read_record(folder)).verify()


def meant_version(registry: Path, alias: str) -> str | None:
    """Version that an alias means now; None where there is no such alias yet."""
    if not alias_file(registry, alias).exists():
        return None
    return str(read_alias(registry, alias)["version"])


def _point(registry: Path, alias: str, version: str) -> None:
    """Let the alias mean a version, in one step; its history grows by one."""
    path = alias_file(registry, alias)
    history = read_alias(registry, alias)["history"] if path.exists() else []
    sha256 = sha256_file(registry / alias / version / RECORD)
    for entry in history:
        if entry["version"] == version and entry["sha256"] != sha256:
            raise UserError(
                f"{registry / alias / version / RECORD} was altered after the promotion."
            )
    if history and history[-1]["version"] == version:
        return
    history = [*history, {"version": version, "sha256": sha256}]
    write_json(path, {"alias": alias, "version": version, "history": history})


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One promotion to an alias at a time; clears what a killed one left."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        for left in folder.glob(f"{_UNFINISHED}-*"):
            shutil.rmtree(left)
        yield
    finally:
        os.close(descriptor)
