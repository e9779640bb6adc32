"""Promoted files: the documents of the production registry, read and checked."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from ranking_pipeline.config import ALIAS_PATTERN
from ranking_pipeline.errors import UserError
from ranking_pipeline.storage import sha256_file

RECORD, MODELS, NETWORK = "promotion.json", "models", "network"
SCHEMA_VERSION = 1
_NEEDED = ("model_id", "target", "route", "parts", "routing_plan")


def remedy(alias: str, record: Mapping[str, Any] | None = None) -> str:
    """How the files of an alias are made whole again, as a command.

    Parameters
    ----------
    alias : str
    record : mapping, optional
        Content of ``promotion.json``, which names the row; None where it cannot be read.
    """
    named, which = f"promotion.alias={alias}", ""
    if record is None:
        which = ", with the promotion.model_id and promotion.target that were named"
    else:
        named += f",promotion.model_id={record['model_id']}"
        named += f",promotion.target={record['target']}"
    return (
        "Promote the same model again, which restores its files: kedro run "
        f"--pipelines=promotion --params={shlex.quote(named)}{which}"
    )


def alias_file(registry: Path, alias: str) -> Path:
    """Where an alias is written."""
    if not re.fullmatch(ALIAS_PATTERN, alias):
        raise UserError(
            f"promotion.alias {alias!r}: an alias has letters, digits, - and _ only."
        )
    return registry / f"{alias}.json"


def read_alias(registry: Path, alias: str) -> dict[str, Any]:
    """Read the document of an alias: ``version`` and ``history``, the oldest first."""
    path = alias_file(registry, alias)
    try:
        pointer: dict[str, Any] = json.loads(path.read_text("utf-8"))
        histories = [
            (entry["version"], entry["sha256"]) for entry in pointer["history"]
        ]
        if pointer["version"] != histories[-1][0]:
            raise ValueError("its version is not the last of its history")
    except FileNotFoundError:
        raise UserError(_absent(registry, alias)) from None
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise UserError(
            f"{path} is no alias of a model ({error}). Restore it from a copy, or delete "
            "it and promote again: kedro run --pipelines=promotion "
            f"--params=promotion.alias={alias}."
        ) from None
    return pointer


def _absent(registry: Path, alias: str) -> str:
    there = sorted(file.stem for file in registry.glob("*.json"))
    near = get_close_matches(alias, there, 1)
    meant = f" (did you mean {near[0]!r}?)" if near else ""
    return (
        f"no model is promoted as {alias!r} in {registry}{meant}; there are: "
        f"{', '.join(there) or 'none'}. Run kedro run --pipelines=promotion."
    )


def read_record(folder: Path, sha256: str | None = None) -> dict[str, Any]:
    """Read ``promotion.json``, after a check of its hash where that is known.

    Raises
    ------
    UserError
        When it is missing, was altered, is no record of a promotion, or is of a later
        version of ranking_pipeline.
    """
    path, again = folder / RECORD, remedy(folder.parent.name)
    if sha256 is not None:
        check_file(path, sha256, again)
    record = read_document(path, again)
    if record.get("schema_version") != SCHEMA_VERSION:
        raise UserError(
            f"{path} has schema version {record.get('schema_version')!r}, and this "
            f"version of ranking_pipeline reads {SCHEMA_VERSION}: update it."
        )
    lacking = [name for name in _NEEDED if name not in record]
    if lacking:
        raise UserError(f"{path} lacks {', '.join(lacking)}. {again}.")
    return record


def read_document(path: Path, again: str) -> dict[str, Any]:
    """Read a JSON object; what is none is told by its file, with its remedy."""
    try:
        document = json.loads(path.read_text("utf-8"))
    except OSError as problem:
        raise UserError(
            f"{path} is missing or unreadable ({problem.strerror}). {again}."
        ) from None
    except ValueError as error:
        raise UserError(
            f"{path} is damaged: no valid JSON ({error}). {again}."
        ) from None
    if not isinstance(document, dict):
        raise UserError(f"{path} is damaged: it holds no JSON object. {again}.")
    return document


def check_file(path: Path, sha256: str, again: str) -> None:
    """Refuse a file of a version that is not what was promoted, and tell the remedy."""
    try:
        found = sha256_file(path)
    except OSError as problem:
        raise UserError(
            f"{path} is missing or unreadable ({problem.strerror}). {again}."
        ) from None
    if found != sha256:
        raise UserError(
            f"{path} was altered after the promotion: its SHA-256 differs. It is not "
            f"opened. {again}."
        )
