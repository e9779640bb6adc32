"""Family keys: the keys of a family's parameter block, read without importing it."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, NamedTuple

from ranking_pipeline.models import registry
from ranking_pipeline.models.source_text import source_of

_ROOT = ("ranking_pipeline.config", "Config")


class _Class(NamedTuple):
    """A class in the text of a module."""

    module: str
    node: ast.ClassDef


def key_faults(name: str, block: Mapping[str, Any]) -> list[str]:
    """Keys of a block that its family does not know, and those that it lacks.

    Parameters
    ----------
    name : str
        Canonical.
    block : mapping

    Returns
    -------
    list of str
        Empty also where the text of the family's module does not tell its keys.
    """
    known = parameter_keys(name)
    if known is None:
        return []
    faults = [f"{key}: missing" for key in known if known[key] and key not in block]
    for key in block:
        if key not in known:
            near = get_close_matches(str(key), known, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            faults.append(f"{key}: unknown key{hint}")
    return faults


def parameter_keys(name: str) -> dict[str, bool] | None:
    """Keys of a family's block, and whether each is needed; None where unknown."""
    loaded = registry.loaded(name)
    if loaded is not None:
        fields = loaded.config_type.model_fields
        return {key: field.is_required() for key, field in fields.items()}
    module, attribute = registry.module_of(name)
    classes, _ = _text(module)
    family = classes.get(attribute) or _of_family(classes, name)
    config = None if family is None else _config(_Class(module, family))
    return None if config is None else _fields(config)


def _of_family(classes: Mapping[str, ast.ClassDef], name: str) -> ast.ClassDef | None:
    for node in classes.values():
        value = _assigned(node, "family")
        if isinstance(value, ast.Constant) and value.value == name:
            return node
    return None


def _config(own: _Class) -> _Class | None:
    """Class of the parameters of a family: its own ``config_type`` or a base's."""
    named = _assigned(own.node, "config_type")
    if isinstance(named, ast.Name):
        return _find(own.module, named.id)
    for base in own.node.bases:
        parent = _find(own.module, base.id) if isinstance(base, ast.Name) else None
        found = None if parent is None else _config(parent)
        if found is not None:
            return found
    return None


def _fields(own: _Class) -> dict[str, bool] | None:
    """Fields of a class of parameters and its bases; None where a base is not known."""
    if (own.module, own.node.name) == _ROOT:
        return {}
    found: dict[str, bool] = {}
    for base in reversed(own.node.bases):
        parent = _find(own.module, base.id) if isinstance(base, ast.Name) else None
        inherited = None if parent is None else _fields(parent)
        if inherited is None:
            return None
        found |= inherited
    for line in own.node.body:
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
            if "ClassVar" not in ast.unparse(line.annotation):
                found[line.target.id] = _is_needed(line.value)
    return found


def _is_needed(value: ast.expr | None) -> bool:
    """Whether a field has no default: no value, or ``Field`` without one."""
    if value is None:
        return True
    if not isinstance(value, ast.Call):
        return False
    defaults = {"default", "default_factory"}
    return not value.args and not any(k.arg in defaults for k in value.keywords)


def _assigned(node: ast.ClassDef, name: str) -> ast.expr | None:
    for line in node.body:
        if isinstance(line, ast.AnnAssign):
            target: ast.expr = line.target
        elif isinstance(line, ast.Assign):
            target = line.targets[0]
        else:
            continue
        if isinstance(target, ast.Name) and target.id == name:
            return line.value
    return None


def _find(module: str, name: str) -> _Class | None:
    """Look for a class in a module, or where that module imports it from."""
    classes, imported = _text(module)
    if name in classes:
        return _Class(module, classes[name])
    return _find(*imported[name]) if name in imported else None


@lru_cache(maxsize=256)
def _text(
    module: str,
) -> tuple[dict[str, ast.ClassDef], dict[str, tuple[str, str]]]:
    """Classes of a module, and what it imports from others, by name."""
    file = source_of(module)
    tree = ast.parse("" if file is None else file.read_text("utf-8"))
    classes = {line.name: line for line in tree.body if isinstance(line, ast.ClassDef)}
    imported = {
        alias.asname or alias.name: (line.module, alias.name)
        for line in tree.body
        if isinstance(line, ast.ImportFrom) and line.module and not line.level
        for alias in line.names
    }
    return classes, imported
