"""Write docs/configuration.md from the typed parameter models and conf/base.

Run it with ``.venv/bin/python docs/generate_configuration.py``; a test holds the page to
what this script would write.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic.fields import FieldInfo

from ranking_pipeline.config import Config
from ranking_pipeline.models.registry import families
from ranking_pipeline.sections import SECTIONS

PROJECT = Path(__file__).resolve().parents[1]
HEAD = """# Configuration

Every parameter, generated from the typed models that check them. A run refuses unknown
keys, wrong types and values out of range, all at once, before the first node.

Change a value on the command line (`kedro run --params=evaluation.cost_bps_per_side=10`),
in a file (`kedro run --config=run.yml`), in an overlay (`conf/<name>/parameters.yml`, used
with `--env=<name>`; only what differs), or in `conf/local`, which git ignores. Lists are
given in a file. Models themselves are configured under `model_training.parameters`.

"""


def main() -> None:
    """Write the page."""
    page = PROJECT / "docs" / "configuration.md"
    page.write_text(render(), encoding="utf-8")


def render() -> str:
    """The page's text."""
    defaults = base_parameters()
    parts = [_section(name, model, defaults[name]) for name, model in SECTIONS.items()]
    return HEAD + "\n".join([*parts, *_families(defaults["model_training"])])


def base_parameters() -> dict[str, Any]:
    """The sections of conf/base as YAML holds them."""
    sections: dict[str, Any] = {}
    for path in sorted((PROJECT / "conf" / "base").glob("parameters*.yml")):
        sections.update(yaml.safe_load(path.read_text("utf-8")))
    return sections


def _families(training: dict[str, Any]) -> Iterator[str]:
    for name, family in families().items():
        head = [f"## `model_training.parameters.{name}`", "", family.description, ""]
        head += ["| key | default | range | meaning |", "| --- | --- | --- | --- |"]
        values = training["parameters"][name]
        yield "\n".join([*head, *_rows(name, family.config_type, values), ""])


def _section(name: str, model: type[Config], defaults: dict[str, Any]) -> str:
    first = (model.__doc__ or "").strip().splitlines()[0]
    lines = [f"## `{name}`", "", first, ""]
    lines += ["| key | default | range | meaning |", "| --- | --- | --- | --- |"]
    return "\n".join([*lines, *_rows(name, model, defaults), ""])


def _rows(prefix: str, model: type[Config], defaults: Any) -> Iterator[str]:
    for name, field in model.model_fields.items():
        key = f"{prefix}.{name}"
        value = defaults.get(name) if isinstance(defaults, dict) else defaults
        inner = _inner(field.annotation)
        if inner is not None:
            yield from _rows(key, inner, value)
        else:
            meaning = field.description or ""
            yield f"| `{key}` | {_shown(value)} | {_range(field)} | {meaning} |"


def _inner(annotation: Any) -> type[Config] | None:
    if isinstance(annotation, type) and issubclass(annotation, Config):
        return annotation
    return None


def _shown(value: Any) -> str:
    text = "null" if value is None else str(value)
    if isinstance(value, bool):
        text = text.lower()
    if isinstance(value, dict | list) and len(text) > 60:
        text = "see conf/base"
    return f"`{text}`".replace("|", "\\|")


def _range(field: FieldInfo) -> str:
    limits = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<", "min_length": "length ≥"}
    bounds = [
        f"{sign} {getattr(limit, name):g}"
        for limit in field.metadata
        for name, sign in limits.items()
        if getattr(limit, name, None) is not None
    ]
    return ", ".join([_type(field.annotation), *bounds]).replace("|", "\\|")


def _type(annotation: Any) -> str:
    origin = typing.get_origin(annotation)
    arguments = typing.get_args(annotation)
    if origin is typing.Literal:
        return " / ".join(map(str, arguments))
    if origin is typing.Annotated:
        return _type(arguments[0])
    if origin in (types.UnionType, typing.Union):
        return " or ".join(_type(part) for part in arguments)
    if origin in (list, tuple):
        return f"list of {_type(arguments[0])}"
    names = {dict: "mapping", type(None): "null"}
    plain = origin or annotation
    return names.get(plain, str(getattr(plain, "__name__", plain)))


if __name__ == "__main__":
    main()
