"""Promoted copy: the files of a version, written out of the model store or restored."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ranking_pipeline.errors import UserError
from ranking_pipeline.models.promoted import META_FILE, WEIGHTS_FILE, Promoted
from ranking_pipeline.models.promoted_files import (
    MODELS,
    NETWORK,
    RECORD,
    SCHEMA_VERSION,
    read_record,
)
from ranking_pipeline.models.store import ModelStore
from ranking_pipeline.storage import sha256_file, sync, write_json

if TYPE_CHECKING:
    from ranking_pipeline.models.promotion import Candidate, NetworkFiles

UNFINISHED = ".unfinished"


def build(
    candidate: Candidate, store: ModelStore, folder: Path, kept: bytes | None
) -> Path:
    """Make a version complete on the disk, under a name that nobody reads.

    ``kept`` is the document of an earlier promotion of the same version, if any.
    """
    scratch = folder.with_name(f"{UNFINISHED}-{folder.name}")
    scratch.mkdir()
    if candidate.network is None:
        parts = [_copy_part(part, store, scratch / MODELS) for part in candidate.parts]
    else:
        parts = _write_network(candidate, candidate.network, scratch / NETWORK)
    if kept is None:
        write_json(scratch / RECORD, _record(candidate, parts))
    else:
        (scratch / RECORD).write_bytes(kept)
    for path in sorted(scratch.rglob("*")):
        if path.is_file():
            path.chmod(0o444)
            sync(path)
    for path in (*(path for path in scratch.rglob("*") if path.is_dir()), scratch):
        sync(path)
    return scratch


def _record(candidate: Candidate, parts: Sequence[Any]) -> dict[str, Any]:
    """What ``promotion.json`` says."""
    return {
        "schema_version": SCHEMA_VERSION,
        "version": candidate.version,
        "model_id": candidate.model_id,
        "target": candidate.target,
        "route": candidate.route,
        "validation": dict(candidate.validation),
        "informed_until": candidate.informed_until,
        "provenance": dict(candidate.provenance),
        "parts": list(parts),
        "routing_plan": candidate.routing_plan,
        "symbols": list(candidate.symbols),
    }


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


def is_whole(folder: Path, alias: str, known: str | None) -> bool:
    """Whether a version that is there already is what was promoted."""
    try:
        Promoted(alias, folder.name, folder, read_record(folder, known)).verify()
    except UserError:
        return False
    return True


def restore(
    candidate: Candidate, store: ModelStore, folder: Path, known: str | None
) -> list[str]:
    """Put a damaged version back from the model store; its files that had changed."""
    record, kept = folder / RECORD, None
    if known is not None and record.is_file() and sha256_file(record) == known:
        kept = record.read_bytes()
    scratch = build(candidate, store, folder, kept)
    if not is_whole(scratch, folder.parent.name, known):
        raise UserError(
            f"{folder} is damaged and cannot be restored: the run is no longer the one "
            "that was promoted. Promote it under another alias: kedro run --pipelines="
            f"promotion --params=promotion.alias={folder.parent.name}-2."
        )
    changed = [
        str(path.relative_to(scratch))
        for path in sorted(scratch.rglob("*"))
        if path.is_file() and not _same(path, folder / path.relative_to(scratch))
    ]
    damaged = folder.with_name(f"{UNFINISHED}-damaged-{folder.name}")
    if folder.exists():
        os.rename(folder, damaged)
    os.rename(scratch, folder)
    sync(folder.parent)
    shutil.rmtree(damaged, ignore_errors=True)
    return changed


def _same(one: Path, other: Path) -> bool:
    return other.is_file() and sha256_file(one) == sha256_file(other)
