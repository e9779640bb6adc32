"""Model meta: the one document beside a stored model, and its older versions.

``model_meta.json`` is the manifest of an entry of the model store: it names every file
with its SHA-256, what the model is, and what it was made with. Nothing of it stands
anywhere else. Its shape is ``model_meta.schema.json``.

Versions: 1 was ``manifest.json`` with the keys ``files`` and ``facts`` alone; 2 has the
keys of the contract at the top.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from itertools import chain
from typing import Any

from ranking_pipeline.cache.origin import LIBRARIES, library_versions
from ranking_pipeline.errors import UserError
from ranking_pipeline.models.extras import PACKAGES

META_FILE = "model_meta.json"
SCHEMA_VERSION = 2
FEATURES, RAW_SEQUENCE = "features", "raw_sequence"
# What the keys of the contract are called in the facts of a training job.
_ADDED = ("schema_version", "files", "input_mode", "n_features", "libraries")
_OPTIONAL = tuple(chain.from_iterable(PACKAGES.values()))


def write_meta(
    files: Mapping[str, str], facts: Mapping[str, Any], *, sequence: bool
) -> dict[str, Any]:
    """Make the document of a model.

    Parameters
    ----------
    files
        SHA-256 by name.
    facts
        What the training job recorded; its ``features`` become the ``feature_list``.
    sequence
        Whether the family learns from windows of bars: its list of features is empty.
    """
    rest = dict(facts)
    features = list(rest.pop("features", []))
    return {
        "schema_version": SCHEMA_VERSION,
        "files": dict(files),
        "input_mode": RAW_SEQUENCE if sequence else FEATURES,
        "feature_list": [] if sequence else features,
        "n_features": 0 if sequence else len(features),
        "libraries": {
            "python": platform.python_version(),
            **library_versions((*LIBRARIES, *_OPTIONAL)),
        },
        **rest,
    }


def read_meta(document: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
    """Take files and facts out of a document of any version up to ours.

    Raises
    ------
    UserError
        For a version that this code does not know.
    KeyError, TypeError
        When it is no such document.
    """
    version = document.get("schema_version", 1)
    if version == 1:
        return dict(document["files"]), dict(document["facts"])
    if version != SCHEMA_VERSION:
        raise UserError(
            f"its {META_FILE} has schema version {version!r}, and this version of "
            f"ranking_pipeline reads 1 to {SCHEMA_VERSION}: update ranking_pipeline"
        )
    facts = {name: value for name, value in document.items() if name not in _ADDED}
    features = facts.pop("feature_list")
    return dict(document["files"]), {**facts, "features": features}
