"""Family keys: the keys of a family's parameter block, read without importing it."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from ranking_pipeline.models import registry
from ranking_pipeline.models.class_text import ClassText, family_class, find_class

_ROOT = ("ranking_pipeline.config", "Config")


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
    family = family_class(*registry.module_of(name), name)
    named = None if family is None else family.declared("config_type")
    if named is None or not isinstance(named[1], ast.Name):
        return None
    config = find_class(named[0], named[1].id)
    return None if config is None else _keys(config)


def _keys(own: ClassText) -> dict[str, bool] | None:
    """Keys of a class of parameters and its bases; None where a base is not known."""
    if own.place == _ROOT:
        return {}
    found: dict[str, bool] = {}
    for base in reversed(list(own.bases())):
        inherited = None if base is None else _keys(base)
        if inherited is None:
            return None
        found |= inherited
    return found | {key: _is_needed(value) for key, value in own.fields().items()}


def _is_needed(value: ast.expr | None) -> bool:
    """Whether a field has no default: no value, or ``Field`` without one."""
    if value is None:
        return True
    if not isinstance(value, ast.Call):
        return False
    defaults = {"default", "default_factory"}
    return not value.args and not any(k.arg in defaults for k in value.keywords)
