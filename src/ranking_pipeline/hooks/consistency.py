"""Consistency: what sections say about each other, and about names that must exist."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from typing import Any

from ranking_pipeline.config import Config
from ranking_pipeline.errors import UserError
from ranking_pipeline.features.selection import selected_factors
from ranking_pipeline.labels.grammar import parse_targets
from ranking_pipeline.models import registry
from ranking_pipeline.models.family_keys import key_faults
from ranking_pipeline.training.family_faults import training_faults

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


def untrainable(sections: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What would fail job by job in training, as (key, problem); for a run that trains.

    Values of the blocks of networks are checked here, which imports torch.
    """
    data, training = sections["data"], sections["model_training"]
    specs = parse_targets(data.labels.targets, data.interval, data.bars_per_session)
    tasks = {spec.name: spec.task for spec in specs}
    ranking = sections["target_ranking"]
    named = [*training.targets, *(() if ranking.auto else ranking.manual_targets)]
    asked = {name: tasks[name] for name in named if name in tasks}
    faults = training_faults(training, asked)
    told = "\n".join(problem for _, problem in faults)
    families = (*training.families, *training.symbol_families)
    for family in dict.fromkeys(map(_canonical, families)):
        check = partial(_check_values, family, training.parameters)
        found = _problem("model_training.parameters", check)
        faults += [fault for fault in found if fault[1] not in told]
    return faults


def unlabelled(
    sections: Mapping[str, Any], read: Collection[str]
) -> list[tuple[str, str]]:
    """Targets without labels, as (key, problem), of the sections that a run reads."""
    data = sections["data"]
    specs = parse_targets(data.labels.targets, data.interval, data.bars_per_session)
    known = {spec.name for spec in specs} | {spec.payoff for spec in specs}
    named = [("evaluation.primary_target", sections["evaluation"].primary_target)]
    for name in RANKED:
        named += [(f"{name}.targets", one) for one in sections[name].ranked_targets]
    return [
        (key, _unknown(target, known))
        for key, target in named
        if target not in known and key.partition(".")[0] in read
    ]


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
    for name in RANKED:
        yield from _own_loss(name, sections[name].loss.type)


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
        key = f"{name}.family_parameters"
        yield from _blocks(key, families, section.family_parameters)
    training = sections["model_training"]
    for key in ("families", "symbol_families"):
        yield from _named_twice(f"model_training.{key}", getattr(training, key))
    named = (*training.families, *training.symbol_families)
    yield from _blocks("model_training.parameters", named, training.parameters)


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


def _blocks(
    key: str, families: Sequence[str], blocks: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    """Check that families exist and have valid blocks, and the keys of all others."""
    for family in dict.fromkeys(_canonical(name) for name in families):
        yield from _problem(key, partial(_check_family, family, blocks))
    trained = {_canonical(name) for name in families}
    for given, block in blocks.items():
        if _canonical(given) not in trained:
            yield from _problem(key, partial(_check_keys, given, block))


def _check_family(family: str, blocks: Mapping[str, Any]) -> None:
    """Refuse a family that cannot be used, or a block that it would refuse."""
    name = registry.canonical(family)
    on_cpu = registry.listing(name).device == "cpu"
    own = [block for given, block in blocks.items() if _canonical(given) == name]
    if not own:
        raise UserError(f"no block for the family {family!r}")
    # Checking the values of a neural block would import torch: only a run needs to.
    if on_cpu:
        registry.validate(name, own[0])
    else:
        _check_keys(name, own[0])


def _check_values(family: str, blocks: Mapping[str, Any]) -> None:
    registry.validate(family, registry.block_of(blocks, family) or {})


def _check_keys(family: str, block: Mapping[str, Any]) -> None:
    faults = key_faults(registry.canonical(family), block)
    if faults:
        raise UserError(f"{family}: " + "; ".join(faults))


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
