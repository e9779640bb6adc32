"""Origin: the sources and libraries on which a result depends."""

from __future__ import annotations

import hashlib
import platform
import re
import sys
from collections.abc import Iterator, Sequence
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGE = __name__.partition(".")[0]
_ROOT = Path(__file__).parents[1]
# What numbers are made with; the rest of the installation only carries them.
LIBRARIES = (
    "numpy",
    "scipy",
    "pandas",
    "pyarrow",
    "safetensors",
    "lightgbm",
    "xgboost",
    "xgboost-cpu",
    "scikit-learn",
    "skops",
    "torch",
)
_FROM = re.compile(rf"from\s+({_PACKAGE}[\w.]*)\s+import\s+(\([^)]*\)|[^\n]*)")
_DOTTED = re.compile(rf"{_PACKAGE}(?:\.\w+)+")


def library_versions(names: Sequence[str] = LIBRARIES) -> dict[str, str]:
    """Versions of the distributions among ``names`` that are installed."""
    versions = {}
    for name in names:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


@lru_cache(maxsize=32)
def code_of(module: str) -> dict[str, str]:
    """Everything but the data that decides what a function of ``module`` returns.

    Returns
    -------
    dict
        Digest of the module and of all modules of ours that it reaches, the version of
        Python, and the versions of the libraries. Taken once per process, so that it
        belongs to the code that the process runs.
    """
    return {
        "sources": sources_reached(module),
        "python": platform.python_version(),
        **library_versions(),
    }


def sources_reached(module: str) -> str:
    """Hash of a module's source and of every module of this package that it reaches.

    A module reaches another by an import anywhere in it, or by naming it in full: that
    is how registries load what they list.

    Raises
    ------
    TypeError
        When the module itself has no source.
    """
    found = reached(module)
    if module not in found:
        raise TypeError(
            f"{module} has no source file, so that nothing tells its edits."
        )
    digest = hashlib.sha256()
    for name, file in sorted(found.items()):
        digest.update(f"{name}\0".encode() + file.read_bytes() + b"\0")
    return digest.hexdigest()


def reached(module: str) -> dict[str, Path]:
    """Files of the modules that ``module`` reaches, itself included, by name."""
    found: dict[str, Path] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        file = _file_of(name)
        if file is None and name == module:
            file = _outside(name)
        if file is None or name in found:
            continue
        found[name] = file
        # The folders of a module are imported before it.
        waiting += [name.rpartition(".")[0], *_named(file.read_text("utf-8"))]
    return found


def _file_of(module: str) -> Path | None:
    """Source of a module of this package; None for every other name."""
    package, *parts = module.split(".")
    if package != _PACKAGE:
        return None
    place = _ROOT.joinpath(*parts)
    files = (place / "__init__.py", place.with_suffix(".py"))
    return next((file for file in files if file.is_file()), None)


def _outside(module: str) -> Path | None:
    """Source of a loaded module of any package."""
    file = getattr(sys.modules.get(module), "__file__", None)
    return Path(file) if file and file.endswith(".py") else None


def _named(source: str) -> Iterator[str]:
    """Every dotted name in a source that may be a module of this package."""
    for folder, names in _FROM.findall(source):
        yield folder
        yield from (f"{folder}.{name}" for name in re.findall(r"\w+", names))
    yield from _DOTTED.findall(source)
    yield from _listed(source)


def _listed(source: str) -> Iterator[str]:
    """Modules listed as ``f"{FOLDER}.name"`` beside ``FOLDER = "package.folder"``."""
    constants = re.findall(rf'^(\w+) = "({_PACKAGE}[\w.]*)"', source, re.MULTILINE)
    for constant, folder in constants:
        for name in re.findall(rf"\{{{constant}\}}\.(\w+)", source):
            yield f"{folder}.{name}"
