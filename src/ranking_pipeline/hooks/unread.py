"""Unread parameters: those of the command line that the requested pipeline ignores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kedro.framework.project import pipelines
from kedro.pipeline import Pipeline

# Every pipeline is asked whether its input mode allows it.
ALWAYS_READ = "run.input_mode"
# Sections whose YAML takes a value over from another place.
TAKEN_OVER = {
    "run.seed": (
        "audit",
        "target_ranking",
        "feature_selection",
        "routing",
        "model_training.seeds",
        "tuning",
    ),
    "target_ranking.family_parameters": ("feature_selection",),
    "target_ranking.leakage": ("feature_selection",),
}
# Inputs that hold the parameters of all sections.
WHOLE = {"parameters", "project_recipe"}
_PREFIX, _SHOWN = "params:", 6


def unread_parameters(given: Mapping[str, Any], pipeline: Pipeline) -> list[str]:
    """Tell which given parameters change nothing in a pipeline, and which read them.

    Parameters
    ----------
    given : mapping
        Parameters of the command line, nested.
    pipeline : Pipeline
        What will run.

    Returns
    -------
    list of str
        One line per parameter: its name, and registered pipelines that read it, the
        smallest first.
    """
    return [
        f"{name} is read by {_readers(name)}"
        for name in _names(given)
        if not reads(pipeline, name)
    ]


def reads(pipeline: Pipeline, name: str) -> bool:
    """Whether a node of a pipeline takes a parameter, a part of it, or what holds it."""
    inputs = pipeline.inputs()
    if name == ALWAYS_READ or WHOLE & inputs:
        return True
    taken = [_PREFIX + place for place in (name, *_taken_over(name))]
    read = [one for one in inputs if one.startswith(_PREFIX)]
    return any(_overlap(place, one) for place in taken for one in read)


def _names(given: Mapping[str, Any], place: str = "") -> Iterator[str]:
    """Dotted names of all values."""
    for key, value in given.items():
        name = f"{place}.{key}" if place else str(key)
        if isinstance(value, Mapping) and value:
            yield from _names(value, name)
        else:
            yield name


def _taken_over(name: str) -> Iterator[str]:
    for source, places in TAKEN_OVER.items():
        if _overlap(name, source):
            yield from places


def _overlap(one: str, other: str) -> bool:
    """Whether two dotted names are the same, or one holds the other."""
    return f"{one}.".startswith(f"{other}.") or f"{other}.".startswith(f"{one}.")


def _readers(name: str) -> str:
    sizes = {key: len(pipeline.nodes) for key, pipeline in pipelines.items()}
    readers = [key for key in sizes if reads(pipelines[key], name)]
    readers.sort(key=lambda key: (sizes[key], key))
    return ", ".join(readers[:_SHOWN]) or "no pipeline"
