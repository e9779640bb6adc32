"""Family faults: what enabled families cannot do as asked, told before anything runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ranking_pipeline.errors import UserError
from ranking_pipeline.models import extras, registry
from ranking_pipeline.models.family_list import describe
from ranking_pipeline.models.timesfm_files import FAMILY as PRETRAINED
from ranking_pipeline.models.timesfm_files import checkpoint_files
from ranking_pipeline.training.config import ModelTrainingConfig

SHARED = "multi_task"
Fault = tuple[str, str]


def training_faults(
    config: ModelTrainingConfig, asked: Mapping[str, str]
) -> list[Fault]:
    """Everything that would fail job by job, hours later, as (key, problem) pairs.

    Parameters
    ----------
    config : ModelTrainingConfig
    asked : mapping of target to task
        Targets that were asked for by name.
    """
    faults = list(_unlearnable(config, asked))
    for key, own in (("families", False), ("symbol_families", True)):
        for name in getattr(config, key):
            found = family_faults(name, config, own=own)
            faults += [(f"model_training.{key}", text) for text in found]
    return [*faults, *_strategy_faults(config), *_ensemble_faults(config)]


def family_faults(name: str, config: ModelTrainingConfig, *, own: bool) -> list[str]:
    """Why no job of a family could be trained with these parameters; empty: it could.

    Parameters
    ----------
    name : str
        Any spelling.
    config : ModelTrainingConfig
    own : bool
        For jobs of one symbol instead of those over all.
    """
    try:
        family = registry.canonical(name)
        return list(_faults(family, config, own))
    except UserError as error:
        return [str(error)]


def _faults(family: str, config: ModelTrainingConfig, own: bool) -> Iterator[str]:
    extra = describe(family).extra
    if extras.missing(extra):
        yield extras.absent_text(family, extra)
    if config.sample_weights != "none" and not registry.listing(family).weighted:
        yield (
            f"{family} cannot weigh rows, and model_training.sample_weights is "
            f"{config.sample_weights}; set it to none, or take {family} out of the list"
        )
    if family == SHARED and (own or config.strategy != SHARED):
        yield (
            f"{SHARED} learns several targets at once, which a job of one target cannot; "
            f"set model_training.strategy to {SHARED} (it then takes the place of all "
            "pooled regressions), or use mlp"
        )
    if family == PRETRAINED:
        yield from _no_weights(config)


def _no_weights(config: ModelTrainingConfig) -> Iterator[str]:
    block = registry.block_of(config.parameters, PRETRAINED)
    if block is None or "weights" not in block:
        return
    try:
        checkpoint_files(str(block["weights"]))
    except UserError as error:
        yield str(error)


def _unlearnable(
    config: ModelTrainingConfig, asked: Mapping[str, str]
) -> Iterator[Fault]:
    names = _canonical((*config.families, *config.symbol_families))
    for target, task in asked.items():
        if not any(task in registry.listing(name).tasks for name in names):
            yield (
                "model_training.families",
                f"no enabled family ({', '.join(names) or 'there is none'}) can learn "
                f"{target} ({task}), which is asked for by name; enable one that can",
            )


def _strategy_faults(config: ModelTrainingConfig) -> Iterator[Fault]:
    if config.strategy != "single_task" and len(config.targets) == 1:
        yield (
            "model_training.targets",
            f"strategy {config.strategy} needs two or more targets, and the list leaves "
            f"{config.targets[0]}; name more, leave the list empty (all of the plan), or "
            "set model_training.strategy to single_task",
        )


def _ensemble_faults(config: ModelTrainingConfig) -> Iterator[Fault]:
    """Ensembles that no target can have, whatever the plan."""
    if not config.ensembles.methods:
        return
    trained = _canonical(config.families)
    trained += [SHARED] if config.strategy == SHARED else []
    asked = _canonical(config.ensembles.families)
    strange = [name for name in asked if name not in trained]
    told = ", ".join(trained) or "none"
    if strange:
        yield (
            "model_training.ensembles.families",
            f"{', '.join(strange)} is not trained; model_training.families are {told}",
        )
    members = [name for name in asked or trained if name in trained]
    if len(members) < 2:
        yield (
            "model_training.ensembles.methods",
            f"{', '.join(config.ensembles.methods)} averages two or more families, and "
            f"there is {', '.join(members) or 'none'} (model_training.families: {told}); "
            "add another, or set methods to []",
        )


def _canonical(names: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(registry.canonical(name) for name in names))
