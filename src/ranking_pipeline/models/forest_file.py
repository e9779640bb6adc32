"""Forest file: scikit-learn forests through skops, equal forests in equal bytes."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

from ranking_pipeline.errors import UserError

# skops trusts numpy and the public scikit-learn classes; a forest needs one type more.
ALLOWED = ("sklearn.tree._tree.Tree",)
_FORESTS = {
    f"{kind}{task}"
    for kind in ("RandomForest", "ExtraTrees")
    for task in ("Regressor", "Classifier")
}
_SCHEMA = "schema.json"
_EPOCH = (1980, 1, 1, 0, 0, 0)


def write(forest: Any, path: Path) -> None:
    """Write a fitted forest.

    skops names its parts by memory address and stamps them with the clock; both are
    replaced, so that equal forests have equal files.
    """
    import skops.io

    skops.io.dump(forest, path)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    schema = json.loads(parts.pop(_SCHEMA))
    names: dict[str, str] = {}
    _renumber(schema, {}, names)
    with zipfile.ZipFile(path, "w") as archive:
        _add(archive, _SCHEMA, json.dumps(schema).encode())
        for old, new in names.items():
            _add(archive, new, parts[old])


def read(path: Path) -> Any:
    """Read a forest written by :func:`write`.

    Raises
    ------
    UserError
        When the file holds a type outside the fixed allow-list, or is no such file.
    """
    import skops.io
    from skops.io.exceptions import UntrustedTypesFoundException

    try:
        forest = skops.io.load(path, trusted=list(ALLOWED))
    except UntrustedTypesFoundException as error:
        raise UserError(
            f"{path} is refused: it holds types that a forest does not need ({error}). "
            "Train the model again."
        ) from None
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise UserError(f"{path} is no forest file ({error}). Train again.") from None
    if type(forest).__name__ not in _FORESTS:
        raise UserError(f"{path} holds a {type(forest).__name__}, not a forest.")
    return forest


def _renumber(node: Any, ids: dict[int, int], names: dict[str, str]) -> None:
    """Replace addresses by their order of appearance, in place."""
    if isinstance(node, list):
        for item in node:
            _renumber(item, ids, names)
    elif isinstance(node, dict):
        if "__id__" in node:
            node["__id__"] = ids.setdefault(node["__id__"], len(ids) + 1)
        if isinstance(node.get("file"), str):
            suffix = Path(node["file"]).suffix
            node["file"] = names.setdefault(node["file"], f"{len(names)}{suffix}")
        for item in node.values():
            _renumber(item, ids, names)


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, date_time=_EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(entry, content)
