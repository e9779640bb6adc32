"""Promoted: a production model, read from its immutable folder.

``<registry>/<alias>.json`` names the version that an alias means, and all it meant
before. ``<registry>/<alias>/<version>/`` holds ``promotion.json`` and, under ``models/``,
the entries of the model store that the version consists of, byte for byte. Each document
vouches for the next: the alias for ``promotion.json``, that for the ``model_meta.json`` of
each part, and that for every file of the part.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ranking_pipeline.errors import UserError
from ranking_pipeline.models.base import BaseModel
from ranking_pipeline.models.samples import Samples
from ranking_pipeline.models.store import ModelStore
from ranking_pipeline.storage import sha256_file

RECORD, MODELS = "promotion.json", "models"
SCHEMA_VERSION = 1
REMEDY = "Restore the folder from a copy, or promote the model again under a new alias"
_ALIAS = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True)
class Promoted:
    """One promoted version.

    Attributes
    ----------
    alias, version
        Name, and hash of what was promoted (16 hex digits).
    folder
        Where it is; nothing in it ever changes.
    record
        Content of ``promotion.json``: ``model_id``, ``target``, ``route``, ``parts``,
        ``validation``, ``provenance`` and, for a row that is made of other models'
        scores, the ``routing_plan`` of its target.
    """

    alias: str
    version: str
    folder: Path
    record: Mapping[str, Any]

    @property
    def parts(self) -> tuple[str, ...]:
        """Ids of the fitted models behind the version; one, unless it joins several."""
        return tuple(part["model_id"] for part in self.record["parts"])

    @property
    def features(self) -> tuple[str, ...]:
        """Factors that the parts need, each once; a part's own order is in its meta."""
        needed = (name for part in self.parts for name in self.meta(part)["features"])
        return tuple(dict.fromkeys(needed))

    def meta(self, part: str | None = None) -> Mapping[str, Any]:
        """Read what ``model_meta.json`` says of a part (by default the only one).

        Its ``features`` are in the order in which the model gets them; a family that
        learns from windows of bars has none.
        """
        return self._store().listed(self._key(part)).facts

    def load_model(self, part: str | None = None, threads: int = 1) -> BaseModel:
        """Load a part (by default the only one), every file checked first.

        What a model with several heads predicts is its main target's; :meth:`score`
        takes the head of the part's own target.

        Raises
        ------
        UserError
            When a file is missing or was altered, or no part has that id.
        """
        return self._store().load_model(self._key(part), threads)

    def score(
        self, rows: Samples, part: str | None = None, threads: int = 1
    ) -> npt.NDArray[np.float32]:
        """Score rows by a part, for the part's own target; shape (n,).

        Raises
        ------
        UserError
            See :meth:`load_model`.
        """
        model: Any = self.load_model(part, threads)
        meta = self.meta(part)
        target = self._entry(part).get("target", meta["target"])
        if target == meta["target"]:
            score: npt.NDArray[np.float32] = model.predict(rows).score
            return score
        head = 1 + meta["helpers"].index(target)
        return np.asarray(model.heads(rows)[:, head])

    def verify(self) -> None:
        """Check every file of every part.

        Raises
        ------
        UserError
            Naming the first file that is not what was promoted.
        """
        store = self._store()
        for part in self.record["parts"]:
            store.verified(self._key(part["model_id"]))

    def _key(self, part: str | None) -> str:
        """Key of a part, after a look at the document that vouches for its files."""
        entry = self._entry(part)
        key: str = entry["key"]
        _check(self._store().manifest_of(key), entry["manifest_sha256"])
        return key

    def _entry(self, part: str | None) -> Mapping[str, Any]:
        """What the record says of a part (by default the only one)."""
        parts: list[dict[str, Any]] = self.record["parts"]
        if part is None and len(parts) == 1:
            return parts[0]
        for entry in parts:
            if entry["model_id"] == part:
                return entry
        raise UserError(
            f"{self.alias} ({self.record['model_id']}) consists of {len(parts)} models; "
            f"name one of: {', '.join(self.parts)}."
        )

    def _store(self) -> ModelStore:
        return ModelStore(self.folder / MODELS)


def resolve(registry: Path, alias: str, version: str | None = None) -> Promoted:
    """Find the model that an alias means now, or one that it meant before.

    Parameters
    ----------
    registry
        Folder of the production registry (``promotion.registry``).
    alias
        Such as ``production``.
    version
        One of the alias's history; None: the current one.

    Raises
    ------
    UserError
        When the alias or the version does not exist, is of a later version of
        ranking_pipeline, or is not what was promoted.
    """
    pointer = read_alias(registry, alias)
    wanted = pointer["version"] if version is None else version
    known = {entry["version"]: entry for entry in pointer["history"]}
    if wanted not in known:
        raise UserError(
            f"alias {alias!r} of {registry} never meant version {wanted!r}; it meant "
            + ", ".join(known)
        )
    folder = registry / alias / wanted
    return Promoted(alias, wanted, folder, read_record(folder, known[wanted]["sha256"]))


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
        there = sorted(file.stem for file in registry.glob("*.json"))
        raise UserError(
            f"no model is promoted as {alias!r} in {registry}; there are: "
            f"{', '.join(there) or 'none'}. Run kedro run --pipelines=promotion."
        ) from None
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise UserError(f"{path} is no alias of a model ({error}). {REMEDY}.") from None
    return pointer


def read_record(folder: Path, sha256: str | None = None) -> dict[str, Any]:
    """Read ``promotion.json``, after a check of its hash where that is known."""
    path = folder / RECORD
    if sha256 is not None:
        _check(path, sha256)
    record: dict[str, Any] = json.loads(path.read_text("utf-8"))
    if record.get("schema_version") != SCHEMA_VERSION:
        raise UserError(
            f"{path} has schema version {record.get('schema_version')!r}, and this "
            f"version of ranking_pipeline reads {SCHEMA_VERSION}: update it."
        )
    return record


def alias_file(registry: Path, alias: str) -> Path:
    """Where an alias is written."""
    if not _ALIAS.fullmatch(alias):
        raise UserError(
            f"promotion.alias {alias!r}: an alias has letters, digits, - and _ only."
        )
    return registry / f"{alias}.json"


def _check(path: Path, sha256: str) -> None:
    try:
        found = sha256_file(path)
    except OSError as problem:
        raise UserError(
            f"{path} is missing or unreadable ({problem.strerror}). {REMEDY}."
        ) from None
    if found != sha256:
        raise UserError(
            f"{path} was altered after the promotion: its SHA-256 differs. It is not "
            f"opened. {REMEDY}."
        )
