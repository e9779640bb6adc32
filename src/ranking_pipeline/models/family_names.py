"""Family names: short, loose and full spellings of the names of model families."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass

from ranking_pipeline.errors import UserError


@dataclass(frozen=True)
class Known:
    """Groups of a family, the one of its full name first, and its aliases."""

    groups: tuple[str, ...]
    aliases: tuple[str, ...] = ()


def find(name: str, known: Mapping[str, Known]) -> str:
    """Find the one family behind a spelling such as ``RF`` or ``forest:rf``.

    Case and separators do not count; a group before a colon narrows the search.

    Raises
    ------
    UserError
        For an unknown name, with the nearest one and the list of those that exist; for
        a short name of several families, with their full names.
    """
    group, _, short = name.rpartition(":")
    spelling, spellings = _plain(short), _spellings(known)
    found = [
        one
        for one in spellings.get(spelling, ())
        if not group or _plain(group) in map(_plain, known[one].groups)
    ]
    if len(found) > 1:
        full = ", ".join(f"{known[one].groups[0]}:{one}" for one in found)
        raise UserError(
            f"model family {name!r} is ambiguous: it is short for {full}. Write one of "
            "these."
        )
    if not found:
        near = difflib.get_close_matches(spelling, spellings, n=1)
        hint = f" Did you mean {spellings[near[0]][0]!r}?" if near else ""
        raise UserError(
            f"model family {name!r} does not exist.{hint} Available: "
            + ", ".join(known)
        )
    return found[0]


def _spellings(known: Mapping[str, Known]) -> dict[str, list[str]]:
    """Canonical names by each plain spelling, aliases included."""
    spellings: dict[str, list[str]] = {}
    for name, entry in known.items():
        for spelling in {_plain(name), *map(_plain, entry.aliases)}:
            spellings.setdefault(spelling, []).append(name)
    return spellings


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
