"""Consistency: what sections say about each other, and about names that must exist."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import Any

from ranking_pipeline.config import Config
from ranking_pipeline.errors import UserError
from ranking_pipeline.features.selection import selected_factors
from ranking_pipeline.labels.grammar import parse_targets
from ranking_pipeline.models import registry

SEEDED = ("target_ranking", "feature_selection", "routing")
ESTIMATING = ("target_ranking", "feature_selection", "routing")
RANKED = ("cs_ranking", "raw_sequence")
OWN_FILE = (
    "the catalog and the other sections do not see this value; put the section in a "
    "file of its own, {file}, in the overlay"
)


def contradictions(sections: Mapping[str, Any], source: str) -> list[tuple[str, str]]:
    """Everything that valid sections contradict each other about, as (key, problem).

    Parameters
    ----------
    sections
        The typed sections by name.
    source
        Where the catalog takes the raw bars from.
    """
    return [*_shared_values(sections, source), *_names(sections), *_families(sections)]


def _shared_values(
    sections: Mapping[str, Any], source: str
) -> Iterator[tuple[str, str]]:
    if sections["data"].source != source:
        yield "data.source", OWN_FILE.format(file="parameters_data.yml")
    seed = sections["run"].seed
    if any(sections[name].seed != seed for name in SEEDED):
        yield "run.seed", OWN_FILE.format(file="parameters_run.yml")


def _names(sections: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    data = sections["data"]
    yield from _problem("data.features", lambda: selected_factors(data.features))
    interval, session = data.interval, data.bars_per_session
    wrong = list(
        _problem(
            "data.labels.targets",
            lambda: parse_targets(data.labels.targets, interval, session),
        )
    )
    yield from wrong
    if wrong:
        return
    specs = parse_targets(data.labels.targets, interval, session)
    known = {spec.name for spec in specs} | {spec.payoff for spec in specs}
    primary = sections["evaluation"].primary_target
    if primary not in known:
        yield "evaluation.primary_target", _unknown(primary, known)
    for name in RANKED:
        yield from _own_loss(name, sections[name].loss.type)
        for target in sections[name].ranked_targets:
            if target not in known:
                yield f"{name}.targets", _unknown(target, known)


def _own_loss(section: str, loss: str) -> Iterator[tuple[str, str]]:
    """Look for the module of a user's loss, without importing it."""
    module, colon, _ = loss.partition(":")
    if not colon:
        return
    try:
        found = find_spec(module) is not None
    except ModuleNotFoundError:
        found = False
    if not found:
        yield f"{section}.loss.type", f"{loss!r}: no module {module} on the Python path"


def _families(sections: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name in ESTIMATING:
        section = sections[name]
        families = [*section.model_families, *_symbol_family(section)]
        yield from _named_twice(f"{name}.model_families", section.model_families)
        for family in families:
            key = f"{name}.family_parameters"
            yield from _block(key, family, section.family_parameters)
    training = sections["model_training"]
    for key in ("families", "symbol_families"):
        yield from _named_twice(f"model_training.{key}", getattr(training, key))
    for family in (*training.families, *training.symbol_families):
        yield from _block("model_training.parameters", family, training.parameters)


def _named_twice(key: str, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Find two spellings of one family."""
    spelt: dict[str, str] = {}
    for name in names:
        first = spelt.setdefault(_canonical(name), name)
        if first is not name:
            yield key, f"{first!r} and {name!r} are one family; name it once"


def _symbol_family(section: Config) -> list[str]:
    family = getattr(section, "symbol_family", None)
    return [family] if family else []


def _block(
    key: str, family: str, blocks: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    """Check that a family exists and has a valid block of parameters."""
    wrong = list(_problem(key, lambda: registry.canonical(family)))
    yield from wrong
    if wrong:
        return
    name = registry.canonical(family)
    own = [block for given, block in blocks.items() if _canonical(given) == name]
    if not own:
        yield key, f"no block for the family {family!r}"
    # Checking a neural block would import torch, which only training needs to.
    elif registry.listing(name).device == "cpu":
        yield from _problem(key, lambda: registry.validate(name, own[0]))


def _canonical(family: str) -> str:
    try:
        return registry.canonical(family)
    except UserError:
        return family


def _problem(key: str, check: Callable[[], Any]) -> Iterator[tuple[str, str]]:
    try:
        check()
    except UserError as error:
        yield key, str(error)


def _unknown(target: str, known: set[str]) -> str:
    return f"{target!r} is not in data.labels.targets: {', '.join(sorted(known))}"
