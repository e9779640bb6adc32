"""Plan filters: which rows of a training plan are trained, told with counts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ranking_pipeline.errors import UserError
from ranking_pipeline.models import registry
from ranking_pipeline.training.config import ModelTrainingConfig
from ranking_pipeline.wording import counted, shortened

Row = dict[str, Any]
_log = logging.getLogger(__name__)
_CROSS_SECTIONAL, _SYMBOL_SPECIFIC = "cross_sectional", "symbol_specific"
_SHOWN = 20


def filter_jobs(
    plan: Mapping[str, Any], config: ModelTrainingConfig, tasks: Mapping[str, str]
) -> list[Row]:
    """Take the rows that were asked for, with the families that were asked for.

    Nothing is trained that the plan does not hold, and nothing is left out silently:
    each filter that takes rows away logs their number before and after.

    Parameters
    ----------
    plan : mapping
        A training plan.
    config : ModelTrainingConfig
        ``targets``, ``symbols``, ``model_types``, and the families that are enabled.
    tasks : mapping of target to task
        A family is left out for targets whose task it cannot learn.

    Returns
    -------
    list of dict
        Rows of the plan in its order. None for a plan without jobs: "nothing is
        predictable" is a finding, not a fault.

    Raises
    ------
    UserError
        When a family, target or symbol was asked for that no job has, or nothing is
        left of a plan that has jobs, or of a target that was asked for.
    """
    rows: list[Row] = [dict(row) for row in plan["jobs"]]
    if not rows:
        _log.warning("plan: no jobs (%s); nothing is trained", plan.get("status", ""))
        return []
    _refuse_strangers(rows, config, tasks)
    for name, keep in _filters(config):
        kept = [row for row in rows if keep(row)]
        if len(kept) < len(rows):
            _log.info(
                "plan: %s, %d after %s", counted(len(rows), "job"), len(kept), name
            )
        rows = kept
    planned = plan.get("metadata", {}).get("unable", {})
    _log_unable(rows, config, tasks, planned)
    enabled = [_with_families(row, config, tasks) for row in rows]
    left = [row for row in enabled if row["families"]]
    _log_families(rows, left)
    if not left:
        raise UserError(
            f"none of the {len(plan['jobs'])} jobs of training_plan fits {_asked(config)}"
            "; ask for less, or run routing again."
        )
    _refuse_bare_targets(left, config)
    return left


def told_unable(family: str, targets: Sequence[str]) -> str:
    """Say that a family is left out for targets whose task it cannot learn."""
    learns = ", ".join(sorted(registry.listing(family).tasks))
    return f"{family} is left out for {', '.join(targets)}: it learns {learns} alone"


def _filters(
    config: ModelTrainingConfig,
) -> list[tuple[str, Callable[[Row], bool]]]:
    """Filters on whole rows, with their names for the log."""
    filters: list[tuple[str, Callable[[Row], bool]]] = []
    if config.targets:
        named = f"targets {list(config.targets)}"
        filters.append((named, lambda row: row["target"] in config.targets))
    if config.symbols:
        named = f"symbols {list(config.symbols)}"
        filters.append((named, lambda row: row["symbol"] in config.symbols))
    if config.model_types in (_CROSS_SECTIONAL, _SYMBOL_SPECIFIC):
        kind = config.model_types
        named = f"model_types {kind}"
        filters.append((named, lambda row: row["training_type"] == kind))
    return filters


def _refuse_bare_targets(left: Sequence[Row], config: ModelTrainingConfig) -> None:
    """Refuse targets asked for by name of which no job is left."""
    held = {row["target"] for row in left}
    bare = [target for target in config.targets if target not in held]
    if bare:
        asked = {**_asked(config), "targets": bare}
        raise UserError(
            f"model_training.targets: nothing is left to train for {', '.join(bare)}: no "
            f"job of training_plan fits {asked}. Enable a family that can learn it, run "
            "routing again, or take it out of the list."
        )


def _log_unable(
    rows: Sequence[Row],
    config: ModelTrainingConfig,
    tasks: Mapping[str, str],
    planned: Mapping[str, Sequence[str]],
) -> None:
    """Tell for each enabled family which targets it is left out for, unless planned so."""
    found: dict[str, dict[str, None]] = {}
    for row in rows:
        for family in _enabled(config, row["symbol"] is not None):
            told = row["target"] in planned.get(family, ())
            if not told and not _is_able(family, row, tasks):
                found.setdefault(family, {})[row["target"]] = None
    for family, targets in found.items():
        _log.info("plan: %s", told_unable(family, list(targets)))


def _is_able(family: str, row: Row, tasks: Mapping[str, str]) -> bool:
    task = tasks.get(row["target"])
    return task is None or task in registry.listing(family).tasks


def _refuse_strangers(
    rows: Sequence[Row], config: ModelTrainingConfig, tasks: Mapping[str, str]
) -> None:
    """Refuse what is asked for by name and is in no job, all at once."""
    faults = []
    for key, asked in (("target", config.targets), ("symbol", config.symbols)):
        held = {row[key] for row in rows if row[key] is not None}
        missing = [name for name in asked if name not in held]
        if missing:
            faults.append(
                f"model_training.{key}s: no job of training_plan has {missing}; it "
                f"has {shortened(sorted(held), _SHOWN)}"
            )
    for own, key in ((False, "families"), (True, "symbol_families")):
        kind = [row for row in rows if (row["symbol"] is not None) is own]
        enabled = [
            name
            for name in _enabled(config, own)
            if any(_is_able(name, row, tasks) for row in kind)
        ]
        faults += _strange_families(kind, enabled, key)
    if faults:
        raise UserError("\n".join(faults))


def _strange_families(
    rows: Sequence[Row], enabled: Sequence[str], key: str
) -> list[str]:
    """Enabled families that no job of their kind names, though they could learn one."""
    held = {registry.canonical(name) for row in rows for name in row["families"]}
    missing = [name for name in enabled if name not in held]
    if not missing:
        return []
    return [
        f"model_training.{key}: no job of training_plan has {missing}; it has "
        f"{shortened(sorted(held), _SHOWN)}. Run routing again with these families (a "
        "plan is trained as it is), or take them out"
    ]


def _with_families(
    row: Row, config: ModelTrainingConfig, tasks: Mapping[str, str]
) -> Row:
    """Keep those families that are enabled, able, and of the type asked for."""
    wanted = set(_enabled(config, row["symbol"] is not None))
    planned = dict.fromkeys(registry.canonical(name) for name in row["families"])
    sequences = config.model_types == "sequence"
    kept = [
        name
        for name in planned
        if name in wanted
        and _is_able(name, row, tasks)
        and (not sequences or registry.listing(name).sequence)
    ]
    return {**row, "families": kept}


def _log_families(before: Sequence[Row], after: Sequence[Row]) -> None:
    counts = [sum(len(row["families"]) for row in rows) for rows in (before, after)]
    if counts[0] != counts[1] or len(before) != len(after):
        told = [
            f"{counted(len(rows), 'job')} with {counted(count, 'model')}"
            for rows, count in zip((before, after), counts, strict=True)
        ]
        _log.info("plan: %s, %s after families", *told)


def _enabled(config: ModelTrainingConfig, own: bool) -> tuple[str, ...]:
    names = config.symbol_families if own else config.families
    return tuple(dict.fromkeys(registry.canonical(name) for name in names))


def _asked(config: ModelTrainingConfig) -> dict[str, Any]:
    """What was asked for, without what asks for everything."""
    asked: dict[str, Any] = {
        "targets": list(config.targets),
        "symbols": list(config.symbols),
        "model_types": "" if config.model_types == "all" else config.model_types,
        "families": list(config.families),
        "symbol_families": list(config.symbol_families),
    }
    return {name: value for name, value in asked.items() if value}
