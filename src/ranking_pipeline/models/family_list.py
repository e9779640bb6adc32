"""Family list: what is known of every model family, without importing any."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from ranking_pipeline.errors import UserError
from ranking_pipeline.models import extras, registry
from ranking_pipeline.models.source_text import source_of

_UNKNOWN = ("description", "device", "tasks", "sequence")
_COLUMNS = ("name", "group", "stage", "tasks", "installed", "description")


_STAGES = (
    "Stage: families of cpu train first, those of gpu after them; these are networks, "
    "which\ntrain on a device where their parameter device names one (--env=gpu), and "
    "on the CPU\notherwise."
)


@dataclass(frozen=True)
class FamilyInfo:
    """One model family.

    Attributes
    ----------
    name, group
        ``group:name`` is a valid spelling.
    description
        One line.
    device
        ``cpu`` or ``gpu``: the training stage; a network of the gpu stage also trains
        on a CPU unless it ``requires_gpu``.
    tasks
        What it can learn.
    sequence
        Whether it learns from windows of bars instead of factors.
    experimental
        Whether it is there to be tried, not to be relied on.
    extra
        Extra of ``ranking_pipeline`` that installs what it needs; "" for none.
    installed
        Whether the packages that it needs are there.
    fault
        Why it cannot be loaded, where that was tried, see :func:`tried`.
    place
        Module, and package where it is not ours.
    """

    name: str
    group: str
    description: str
    device: str
    requires_gpu: bool
    tasks: frozenset[str]
    sequence: bool
    experimental: bool
    extra: str
    installed: bool
    fault: str
    place: str


def describe(name: str) -> FamilyInfo:
    """Describe one family by its canonical name; it is not imported, nor its library.

    What its class declares is read from the text of its module.
    """
    places = registry.places(name)
    declared = _declared(name)
    extra = declared.get("extra", "")
    return FamilyInfo(
        name=name,
        group=registry.group_of(name),
        description=declared.get("description", ""),
        device=declared.get("device", ""),
        requires_gpu=declared.get("requires_gpu", False),
        tasks=declared.get("tasks", frozenset()),
        sequence=declared.get("sequence", False),
        experimental=declared.get("experimental", False),
        extra=extra,
        installed=not extras.missing(extra),
        fault="",
        place=" and ".join(places),
    )


def tried(row: FamilyInfo) -> FamilyInfo:
    """Load a family of another package: its text does not tell whether that works."""
    if row.group != "plugin":
        return row
    try:
        registry.family_type(row.name)
    except UserError as error:
        return replace(row, installed=False, fault=str(error))
    return row


def table(families: Iterable[FamilyInfo]) -> str:
    """Lay families out as text, one per line under a line of titles.

    The stage ``gpu`` trains after ``cpu``, on a device where the parameters name one
    and on the CPU otherwise. What is wrong with a broken family stands below.
    """
    listed = list(families)
    rows = [_COLUMNS, *map(_cells, listed)]
    widths = [max(len(row[k]) for row in rows) for k in range(len(_COLUMNS) - 1)]
    lines = [
        "  ".join([*map(str.ljust, row[:-1], widths), row[-1]]).rstrip() for row in rows
    ]
    faults = [row.fault for row in listed if row.fault]
    return "\n".join([*lines, "", _STAGES, *faults])


def _cells(row: FamilyInfo) -> tuple[str, ...]:
    installed = "yes" if row.installed else f"no: pip install '{_wanted(row)}'"
    installed = "no: broken" if row.fault else installed
    marks = ["(experimental)"] if row.experimental else []
    described = " ".join([row.description, *marks])
    tasks = ", ".join(sorted(row.tasks))
    return row.name, row.group, row.device, tasks, installed, described


def _wanted(row: FamilyInfo) -> str:
    return f"ranking_pipeline[{row.extra}]"


def _declared(name: str) -> dict[str, Any]:
    """What the class of a family declares, from the class or from its source."""
    known = registry.loaded(name)
    if known is not None:
        keys = (*_UNKNOWN, "requires_gpu", "experimental", "extra")
        return {key: getattr(known, key) for key in keys}
    module, attribute = registry.module_of(name)
    file = source_of(module)
    found = dict(_classes(file)).get(name if not attribute else f":{attribute}", {})
    listed = registry.LISTINGS.get(name)
    if listed is None:
        return dict(found)
    facts = {key: getattr(listed, key) for key in ("device", "tasks", "sequence")}
    return {**found, **facts}


@lru_cache(maxsize=64)
def _classes(file: Path | None) -> Mapping[str, dict[str, Any]]:
    """Constants of each class of a source, by its family and by ``:ClassName``."""
    if file is None:
        return {}
    found: dict[str, dict[str, Any]] = {}
    for node in ast.parse(file.read_text("utf-8")).body:
        if isinstance(node, ast.ClassDef):
            bases = [base.id for base in node.bases if isinstance(base, ast.Name)]
            own: dict[str, Any] = {}
            for base in reversed(bases):
                own |= found.get(f":{base}", {})
            own |= _constants(node)
            found[f":{node.name}"] = own
            found[str(own.get("family", ""))] = own
    return found


def _constants(node: ast.ClassDef) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for line in node.body:
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
            values[line.target.id] = _literal(line.value)
        elif isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name):
            values[line.targets[0].id] = _literal(line.value)
    return {name: value for name, value in values.items() if value is not None}


def _literal(value: ast.expr | None) -> Any:
    """Value of a literal or of ``frozenset({...})``; None for anything that runs."""
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name):
        if value.func.id != "frozenset" or len(value.args) != 1:
            return None
        inner = _literal(value.args[0])
        return None if inner is None else frozenset(inner)
    try:
        return None if value is None else ast.literal_eval(value)
    except ValueError:
        return None
