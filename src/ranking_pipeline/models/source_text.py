"""Source text: the file behind a module that is not imported."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path


def source_of(module: str) -> Path | None:
    """File of a module whose packages are not imported to find it."""
    first, *parts = module.split(".")
    try:
        spec = find_spec(first)
    except (ImportError, ValueError):
        return None
    if spec is None or not parts:
        return Path(spec.origin) if spec and spec.origin else None
    for folder in spec.submodule_search_locations or ():
        place = Path(folder).joinpath(*parts)
        for file in (place.with_suffix(".py"), place / "__init__.py"):
            if file.is_file():
                return file
    return None
