"""Class text: what a class declares, read from its module without importing it."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

_Text = tuple[Mapping[str, ast.ClassDef], Mapping[str, tuple[str, str]]]


class ClassText(NamedTuple):
    """A class in the text of a module."""

    module: str
    node: ast.ClassDef

    @property
    def place(self) -> tuple[str, str]:
        """Module and name."""
        return self.module, self.node.name

    def bases(self) -> Iterator[ClassText | None]:
        """Find its bases, in their order; None for one whose text is not found."""
        for base in self.node.bases:
            if isinstance(base, ast.Name):
                yield find_class(self.module, base.id)
            else:
                yield None

    def declared(self, name: str) -> tuple[str, ast.expr] | None:
        """Module and value of an attribute, its own or the first base's that has it."""
        value = self.own().get(name)
        if value is not None:
            return self.module, value
        for base in self.bases():
            found = None if base is None else base.declared(name)
            if found is not None:
                return found
        return None

    def constant(self, name: str) -> Any:
        """Value of an attribute that is a literal; None for any other."""
        found = self.declared(name)
        return None if found is None else _literal(found[1])

    def own(self) -> dict[str, ast.expr | None]:
        """Attributes of its own body, and their values where they have one."""
        found: dict[str, ast.expr | None] = {}
        for line in self.node.body:
            if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
                found[line.target.id] = line.value
            elif isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name):
                found[line.targets[0].id] = line.value
        return found

    def fields(self) -> dict[str, ast.expr | None]:
        """Annotated attributes of its own body that belong to instances."""
        lines = [line for line in self.node.body if isinstance(line, ast.AnnAssign)]
        return {
            line.target.id: line.value
            for line in lines
            if isinstance(line.target, ast.Name)
            and "ClassVar" not in ast.unparse(line.annotation)
        }


def family_class(module: str, attribute: str, family: str) -> ClassText | None:
    """Find the class of a family: by its name, or by the family that it declares."""
    classes, _ = _text(module)
    if attribute in classes:
        return ClassText(module, classes[attribute])
    for node in classes.values():
        found = ClassText(module, node)
        if _literal(found.own().get("family")) == family:
            return found
    return None


def find_class(module: str, name: str) -> ClassText | None:
    """Look for a class in a module, or where that module imports it from."""
    classes, imported = _text(module)
    if name in classes:
        return ClassText(module, classes[name])
    return find_class(*imported[name]) if name in imported else None


def _text(module: str) -> _Text:
    """Classes of a module, and what it imports from others, by name."""
    return _text_of(_source_of(module))


@lru_cache(maxsize=256)
def _text_of(file: Path | None) -> _Text:
    tree = ast.parse("" if file is None else file.read_text("utf-8"))
    classes = {line.name: line for line in tree.body if isinstance(line, ast.ClassDef)}
    imported = {
        alias.asname or alias.name: (line.module, alias.name)
        for line in tree.body
        if isinstance(line, ast.ImportFrom) and line.module and not line.level
        for alias in line.names
    }
    return classes, imported


def _source_of(module: str) -> Path | None:
    """File of a module whose packages are not imported to find it."""
    first, *parts = module.split(".")
    try:
        spec = find_spec(first)
    except (ImportError, ValueError):
        return None
    if spec is None or not parts:
        # a module that is built into Python has no file
        own = Path(spec.origin) if spec and spec.origin else None
        return own if own and own.is_file() else None
    for folder in spec.submodule_search_locations or ():
        place = Path(folder).joinpath(*parts)
        for file in (place.with_suffix(".py"), place / "__init__.py"):
            if file.is_file():
                return file
    return None


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
