"""User sources: the module of a function of one's own, and all that it imports."""

from __future__ import annotations

import ast
import hashlib
import sys
import sysconfig
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from ranking_pipeline.cache.origin import reached

_PACKAGE = __name__.partition(".")[0]
_INSTALLED = tuple(
    Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib", "platlib")
)


def function_sources(function: str) -> str:
    """Hash of everything written in Python that ``package.module:function`` reaches.

    Modules that are no part of the installation are followed through their imports,
    wherever these stand, and so are modules of this package. For a library the first
    file that is imported stands for all. Read anew by every call, since a module may be
    edited while a notebook runs.

    Returns
    -------
    str
        Empty where there is no such module.
    """
    found = modules_reached(function.partition(":")[0])
    if not found:
        return ""
    digest = hashlib.sha256()
    for name, file in sorted(found.items()):
        digest.update(f"{name}\0".encode() + file.read_bytes() + b"\0")
    return digest.hexdigest()


def modules_reached(module: str) -> dict[str, Path]:
    """Files of the modules that ``module`` reaches, itself included, by name."""
    found: dict[str, Path] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        top = name.partition(".")[0]
        if name in found or not name or top in sys.stdlib_module_names:
            continue
        if top == _PACKAGE:
            found |= reached(name) if _file_of(name) else {}
            continue
        file = _file_of(name)
        if file is None:
            continue
        found[name] = file
        if not any(file.is_relative_to(folder) for folder in _INSTALLED):
            waiting += [name.rpartition(".")[0], *_imported(name, file)]
    return found


def _file_of(module: str) -> Path | None:
    try:
        spec = find_spec(module)
    except (ImportError, ValueError, AttributeError):
        return None  # a function of a module looks like a module of a package
    file = Path(spec.origin) if spec is not None and spec.origin else None
    return file if file is not None and file.is_file() else None


def _imported(module: str, file: Path) -> Iterator[str]:
    """Every name that an import of a source may mean as a module."""
    if file.suffix != ".py":
        return
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    try:
        tree = ast.parse(file.read_bytes())
    except SyntaxError:
        return  # importing it will say more
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            start = ".".join(above) if node.level else ""
            base = ".".join(part for part in (start, node.module or "") if part)
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)
