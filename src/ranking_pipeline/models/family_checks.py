"""Family checks: what a class must declare before it is a model family."""

from __future__ import annotations

import inspect
from collections.abc import Mapping

from ranking_pipeline.config import Config
from ranking_pipeline.models.base import BaseModel
from ranking_pipeline.models.tasks import TASKS

_DECLARED: Mapping[str, type] = {
    "family": str,
    "description": str,
    "device": str,
    "tasks": frozenset,
    "sequence": bool,
    "weighted": bool,
    "ranks": bool,
    "multi_target": bool,
    "experimental": bool,
    "extra": str,
    "config_type": type,
}


def faults_of(cls: type) -> list[str]:
    """Everything that keeps a class from being a family; empty where nothing does."""
    if not (inspect.isclass(cls) and issubclass(cls, BaseModel)):
        return ["it does not derive from BaseModel"]
    open_methods = sorted(getattr(cls, "__abstractmethods__", ()))
    faults = [f"method {method!r} is not implemented" for method in open_methods]
    for attribute, kind in _DECLARED.items():
        value = getattr(cls, attribute, None)
        if not isinstance(value, kind):
            faults.append(f"attribute {attribute!r} is not a {kind.__name__}")
    if not faults:
        faults += _wrong_values(cls)
    return faults


def _wrong_values(cls: type[BaseModel]) -> list[str]:
    faults = []
    if cls.device not in {"cpu", "gpu"}:
        faults.append(f"device {cls.device!r} is neither 'cpu' nor 'gpu'")
    if not cls.tasks or not cls.tasks <= TASKS:
        faults.append(f"tasks {sorted(cls.tasks)} are not among {sorted(TASKS)}")
    if not issubclass(cls.config_type, Config):
        faults.append("config_type does not derive from Config")
    return faults


def same_definition(known: type, cls: type) -> bool:
    """Whether a module was merely reloaded, as notebooks do."""
    local = "<locals>" in cls.__qualname__
    same = (known.__module__, known.__qualname__) == (cls.__module__, cls.__qualname__)
    return same and not local


def place_of(cls: type) -> str:
    """Where a class is defined, for messages."""
    try:
        line = inspect.getsourcelines(cls)[1]
        return f"{cls.__qualname__} ({inspect.getsourcefile(cls)}:{line})"
    except (OSError, TypeError):
        return (
            f"{cls.__module__}.{cls.__qualname__}"
            if inspect.isclass(cls)
            else repr(cls)
        )
