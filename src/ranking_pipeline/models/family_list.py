"""Family list: what is known of every model family, without importing any."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from ranking_pipeline.errors import UserError
from ranking_pipeline.models import extras, registry
from ranking_pipeline.models.class_text import family_class

_DECLARED = (
    "description",
    "device",
    "tasks",
    "sequence",
    "ranks",
    "multi_target",
    "experimental",
    "extra",
)
_LISTED = ("device", "tasks", "sequence", "ranks", "multi_target")
_COLUMNS = ("name", "group", "stage", "tasks", "special", "installed", "description")
_STAGES = (
    "Stage: families of cpu train first, those of gpu after them; these are networks, "
    "which\ntrain on a device where their parameter device names one (--env=gpu), and "
    "on the CPU\notherwise.\nSpecial: windows = learns from windows of bars, not from "
    "factors; ranks = learns the\norder of a bar's names alone; several targets = learns "
    "them at once."
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
        on a CPU.
    tasks
        What it can learn.
    sequence
        Whether it learns from windows of bars instead of factors.
    ranks
        Whether it learns nothing but the order of the names of a bar.
    multi_target
        Whether it learns several targets at once.
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
    tasks: frozenset[str]
    sequence: bool
    ranks: bool
    multi_target: bool
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
        tasks=declared.get("tasks", frozenset()),
        sequence=declared.get("sequence", False),
        ranks=declared.get("ranks", False),
        multi_target=declared.get("multi_target", False),
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
    return row.name, row.group, row.device, tasks, _special(row), installed, described


def _special(row: FamilyInfo) -> str:
    """What the tasks do not tell."""
    told = {
        "windows": row.sequence,
        "ranks": row.ranks,
        "several targets": row.multi_target,
    }
    return ", ".join(word for word, true in told.items() if true) or "-"


def _wanted(row: FamilyInfo) -> str:
    return f"ranking_pipeline[{row.extra}]"


def _declared(name: str) -> dict[str, Any]:
    """What the class of a family declares, from the class or from its text."""
    known = registry.loaded(name)
    if known is not None:
        return {key: getattr(known, key) for key in _DECLARED}
    text = family_class(*registry.module_of(name), name)
    found = {} if text is None else {key: text.constant(key) for key in _DECLARED}
    listed = registry.LISTINGS.get(name)
    if listed is not None:
        found |= {key: getattr(listed, key) for key in _LISTED}
    return {key: value for key, value in found.items() if value is not None}
