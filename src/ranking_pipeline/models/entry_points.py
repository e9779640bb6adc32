"""Entry points: model families that other installed packages bring.

A package adds a family by one line of its own ``pyproject.toml``::

    [project.entry-points."ranking_pipeline.families"]
    my_family = "my_package.my_module:MyFamily"

The name is that of the family; the module is imported when the family is asked for, not
before.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from ranking_pipeline.errors import UserError

GROUP = "ranking_pipeline.families"


@dataclass(frozen=True)
class PlugIn:
    """A family that another package brings.

    Attributes
    ----------
    name
        Of the family.
    module, attribute
        Where its class is; without an attribute the import of the module registers it.
    distribution
        Name and version of the package.
    """

    name: str
    module: str
    attribute: str
    distribution: str

    @property
    def place(self) -> str:
        """Where the family comes from, for messages."""
        value = f"{self.module}:{self.attribute}" if self.attribute else self.module
        return f"{value} (package {self.distribution})"

    def load(self) -> Any:
        """Import the module; give the class, or None where no attribute names it.

        Raises
        ------
        UserError
            When the package cannot be imported or lacks the attribute.
        """
        try:
            found = import_module(self.module)
            for part in self.attribute.split(".") if self.attribute else ():
                found = getattr(found, part)
        except Exception as error:
            raise UserError(
                f"model family {self.name!r} cannot be loaded from {self.place}: "
                f"{type(error).__name__}: {error}. Mend or uninstall that package, or "
                "take the family out of the list of families."
            ) from error
        return found if self.attribute else None


@lru_cache(maxsize=1)
def plug_ins() -> tuple[PlugIn, ...]:
    """Families of all installed packages, sorted by name; nothing of them is imported.

    Read once per process; ``plug_ins.cache_clear()`` looks again.
    """
    found = [
        PlugIn(
            name=point.name,
            module=point.module,
            attribute=point.attr or "",
            distribution=f"{point.dist.name} {point.dist.version}"
            if point.dist
            else "unknown",
        )
        for point in entry_points(group=GROUP)
    ]
    # A distribution may be on the path twice, as an editable install is.
    return tuple(sorted(set(found), key=lambda plug_in: (plug_in.name, plug_in.place)))
