"""Evidence origin: everything that decides what the evidence on one target is."""

from __future__ import annotations

import dataclasses
import re
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from ranking_pipeline.cache.columns import column_content
from ranking_pipeline.cache.origin import code_of
from ranking_pipeline.cache.plain import plain
from ranking_pipeline.cache.results import ResultCache
from ranking_pipeline.cache.user_sources import function_sources
from ranking_pipeline.config import Config
from ranking_pipeline.selection.stored_data import LazyData, StoredData
from ranking_pipeline.storage import sha256_json

KEY_COLUMNS = ("timestamp", "symbol")
# Fields that say how work is done and not what comes out.
EXECUTION_FIELDS = frozenset({"threads"})
_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def evidence_origin(
    evidence: Callable[..., Any],
    target: str,
    config: Config,
    stored: StoredData,
    cache: ResultCache,
) -> dict[str, Any]:
    """Give the readable parts of a key: equal parts mean equal evidence.

    Of the labels, only the target's own columns are part of it, and which features bear
    the name of a label: another target of the table changes nothing.

    Raises
    ------
    TypeError
        When the evidence is no function of a module, or a keyword has no JSON form.
    """
    function = function_of(evidence)
    dumped = config.model_dump(mode="json")
    columns = stored.labels.read_columns()
    own = [name for name in columns if name == target or name.startswith(f"{target}__")]
    labelled = set(columns) - set(KEY_COLUMNS)
    return {
        "evidence": f"{function.__module__}.{function.__qualname__}",
        "target": target,
        "arguments": _arguments(evidence),
        "config": plain(_without_execution(dumped)),
        "functions": {name: function_sources(name) for name in _functions(dumped)},
        "label": {
            "manifest": plain(dict(LazyData(stored).describe(target))),
            "rows": column_content(stored.labels, KEY_COLUMNS, cache),
            "values": column_content(stored.labels, own, cache),
        },
        "features": {
            "table": stored.features.sha256,
            "manifest": sha256_json(stored.feature_manifest.to_csv()),
            "labels": sorted(labelled & set(stored.feature_manifest["name"])),
        },
        "panel": stored.panel.sha256,
        "splits": plain(stored.splits),
        "code": code_of(function.__module__),
    }


def function_of(evidence: Callable[..., Any]) -> Any:
    """Get the function of a module under any ``functools.partial``."""
    while isinstance(evidence, partial):
        evidence = evidence.func
    name = getattr(evidence, "__qualname__", "<")
    if "<" in name:
        raise TypeError(
            f"{evidence!r} cannot be cached: evidence must be a function of a module, "
            "or functools.partial of one."
        )
    return evidence


def for_target(
    evidence: Callable[..., Any], target: str, targets: Sequence[str]
) -> Callable[..., Any]:
    """Cut keywords that are mappings over all targets down to one target.

    What other targets have is then neither sent along nor part of the key.
    """
    if not isinstance(evidence, partial):
        return evidence
    keywords = {
        name: {target: value[target]} if _is_over(value, targets) else value
        for name, value in evidence.keywords.items()
    }
    return partial(evidence.func, *evidence.args, **keywords)


def result_types(evidence: Callable[..., Any]) -> tuple[type, ...]:
    """List the dataclasses in a function's annotated result, and in their fields.

    Raises
    ------
    TypeError
        When an annotation names what its module does not have at run time.
    """
    function = function_of(evidence)
    found: dict[type, None] = {}
    waiting: list[Any] = [_hints(function).get("return")]
    while waiting:
        kind = waiting.pop()
        waiting += typing.get_args(kind)
        if isinstance(kind, type) and dataclasses.is_dataclass(kind):
            waiting += _hints(kind).values() if kind not in found else []
            found[kind] = None
    return tuple(found)


def _hints(thing: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(thing)
    except NameError as problem:
        raise TypeError(
            f"{thing.__qualname__} cannot be cached: {problem}. Import the types of its "
            "annotations at run time."
        ) from None


def _is_over(value: Any, targets: Sequence[str]) -> bool:
    return isinstance(value, Mapping) and set(targets) <= value.keys()


def _arguments(evidence: Callable[..., Any]) -> dict[str, Any]:
    if not isinstance(evidence, partial):
        return {}
    positional = {str(n): plain(value) for n, value in enumerate(evidence.args)}
    return {**positional, **plain(evidence.keywords)}


def _without_execution(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            name: _without_execution(part)
            for name, part in value.items()
            if name not in EXECUTION_FIELDS
        }
    return [_without_execution(v) for v in value] if isinstance(value, list) else value


def _functions(value: Any) -> Iterator[str]:
    """Yield the texts ``package.module:function``, whose sources decide too."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for part in value:
            yield from _functions(part)
    elif isinstance(value, str) and _FUNCTION.fullmatch(value):
        yield value
