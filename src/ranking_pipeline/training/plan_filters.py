"""Plan filters: which rows of a training plan are trained, told with counts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ranking_pipeline.errors import UserError
from ranking_pipeline.models import registry
from ranking_pipeline.training.config import ModelTrainingConfig

Row = dict[str, Any]
_log = logging.getLogger(__name__)
_CROSS_SECTIONAL, _SYMBOL_SPECIFIC = "cross_sectional", "symbol_specific"


def filter_jobs(plan: Mapping[str, Any], config: ModelTrainingConfig) -> list[Row]:
    """Take the rows that were asked for, with the families that were asked for.

    Nothing is trained that the plan does not hold, and nothing is left out silently:
    each filter that takes rows away logs their number before and after.

    Parameters
    ----------
    plan : mapping
        A training plan.
    config : ModelTrainingConfig
        ``targets``, ``symbols``, ``model_types``, and the families that are enabled.

    Returns
    -------
    list of dict
        Rows of the plan in its order. None for a plan without jobs: "nothing is
        predictable" is a finding, not a fault.

    Raises
    ------
    UserError
        When a family, target or symbol was asked for that no job has, or nothing is
        left of a plan that has jobs.
    """
    rows: list[Row] = [dict(row) for row in plan["jobs"]]
    if not rows:
        _log.warning("plan: no jobs (%s); nothing is trained", plan.get("status", ""))
        return []
    _refuse_strangers(rows, config)
    for name, keep in _filters(config):
        kept = [row for row in rows if keep(row)]
        if len(kept) < len(rows):
            _log.info("plan: %d jobs, %d after %s", len(rows), len(kept), name)
        rows = kept
    enabled = [_with_families(row, config) for row in rows]
    left = [row for row in enabled if row["families"]]
    _log_families(rows, left)
    if not left:
        raise UserError(
            f"none of the {len(plan['jobs'])} jobs of training_plan fits {_asked(config)}"
            "; ask for less, or run routing again."
        )
    return left


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


def _refuse_strangers(rows: Sequence[Row], config: ModelTrainingConfig) -> None:
    """Refuse what is asked for by name and is in no job, all at once."""
    faults = []
    for key, asked in (("target", config.targets), ("symbol", config.symbols)):
        held = {row[key] for row in rows if row[key] is not None}
        missing = [name for name in asked if name not in held]
        if missing:
            faults.append(
                f"model_training.{key}s: no job of training_plan has {missing}; it "
                f"has {_some(held)}"
            )
    for own, key in ((False, "families"), (True, "symbol_families")):
        faults += _strange_families(rows, config, own, key)
    if faults:
        raise UserError("\n".join(faults))


def _strange_families(
    rows: Sequence[Row], config: ModelTrainingConfig, own: bool, key: str
) -> list[str]:
    """Enabled families that no job of their kind names; a kind without jobs is fine."""
    planned = [row["families"] for row in rows if (row["symbol"] is not None) is own]
    held = {registry.canonical(name) for names in planned for name in names}
    missing = [name for name in _enabled(config, own) if name not in held]
    if not planned or not missing:
        return []
    return [
        f"model_training.{key}: no job of training_plan has {missing}; it has "
        f"{_some(held)}. Run routing again with these families (a plan is trained as "
        "it is), or take them out"
    ]


def _with_families(row: Row, config: ModelTrainingConfig) -> Row:
    """Keep those families of a row that are enabled and of the type asked for."""
    wanted = set(_enabled(config, row["symbol"] is not None))
    planned = dict.fromkeys(registry.canonical(name) for name in row["families"])
    sequences = config.model_types == "sequence"
    kept = [
        name
        for name in planned
        if name in wanted and (not sequences or registry.listing(name).sequence)
    ]
    return {**row, "families": kept}


def _log_families(before: Sequence[Row], after: Sequence[Row]) -> None:
    counts = [sum(len(row["families"]) for row in rows) for rows in (before, after)]
    if counts[0] != counts[1] or len(before) != len(after):
        _log.info(
            "plan: %d jobs with %d models, %d jobs with %d models after families",
            len(before),
            counts[0],
            len(after),
            counts[1],
        )


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


def _some(names: Iterable[str]) -> str:
    ordered = sorted(names)
    shown = ", ".join(ordered[:20])
    return shown + (f" and {len(ordered) - 20} more" if len(ordered) > 20 else "")
