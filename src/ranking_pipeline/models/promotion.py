"""Promotion: a trained model becomes an immutable version that an alias means."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ranking_pipeline.models.promoted import Promoted, resolve
from ranking_pipeline.models.promoted_copy import (
    UNFINISHED,
    build,
    is_whole,
    restore,
)
from ranking_pipeline.models.promoted_files import RECORD, alias_file, read_alias
from ranking_pipeline.models.store import ModelStore
from ranking_pipeline.storage import sha256_file, sha256_json, sync, write_json
from ranking_pipeline.wording import counted

__all__ = ["Candidate", "NetworkFiles", "meant_version", "promote", "resolve"]

_DIGITS, _SHOWN = 16, 3
log = logging.getLogger(__name__)


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
    symbols
        Names that traded while the models were trained, in the order of the panel.
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
    symbols: Sequence[str] = ()

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
    version that is whole is not written again, and an alias that already means it stays
    as it is. A version that is not what was promoted is restored from the model store;
    the log says which files.

    Raises
    ------
    UserError
        When a part is missing from the store or damaged, or the store no longer has
        what a damaged version consisted of.
    """
    alias_file(registry, alias)  # a bad name before any work
    folder = registry / alias / candidate.version
    with _alone(registry / alias):
        before = meant_version(registry, alias)
        known = _known_hash(registry, alias, candidate.version)
        made = known is None and not folder.exists()
        restored: list[str] = []
        if made:
            os.rename(build(candidate, store, folder, None), folder)
            sync(folder.parent)
        elif not is_whole(folder, alias, known):
            restored = restore(candidate, store, folder, known)
        _point(registry, alias, candidate.version)
    _tell(candidate, alias, before, restored)
    return resolve(registry, alias)


def _tell(
    candidate: Candidate, alias: str, before: str | None, restored: Sequence[str]
) -> None:
    """Say what the alias means now, and whether anything changed."""
    same = before == candidate.version
    told = ": nothing changed" if same else ""
    if restored:
        files = f"{', '.join(restored[:_SHOWN])}{', …' if restored[_SHOWN:] else ''}"
        told = f": {counted(len(restored), 'damaged file')} restored ({files})"
    log.log(
        logging.WARNING if restored else logging.INFO,
        "%s %s %s, version %s%s",
        alias,
        "was already" if same else "is now",
        candidate.model_id,
        candidate.version,
        told,
    )


def _known_hash(registry: Path, alias: str, version: str) -> str | None:
    """Hash of the document of a version that an alias meant; None: it never did."""
    if meant_version(registry, alias) is None:
        return None
    history = read_alias(registry, alias)["history"]
    return {entry["version"]: str(entry["sha256"]) for entry in history}.get(version)


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
        for left in folder.glob(f"{UNFINISHED}-*"):
            shutil.rmtree(left)
        yield
    finally:
        os.close(descriptor)
