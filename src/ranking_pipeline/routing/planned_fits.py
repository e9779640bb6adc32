"""Planned fits: what a strategy or an ensemble makes of the models of a plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ranking_pipeline.models import registry
from ranking_pipeline.training.config import PlannedTraining

Row = Mapping[str, Any]
_SHARED = "multi_task"
_WEIGHED = frozenset({"ic_weighted", "stacking"})


def planned_fits(
    rows: Sequence[Row], tasks: Mapping[str, str], config: PlannedTraining
) -> list[dict[str, int]]:
    """Families that each row of a plan fits, with the folds that each is fitted on too.

    It counts as :func:`ranking_pipeline.training.strategies.strategic` acts: one
    network stands in the place of all pooled regressions of a refit (``multi_task``);
    the earlier models of a chain (``cascade``) and the members of an ensemble whose
    weights are learned are fitted once more for each fold.

    Parameters
    ----------
    rows : sequence of mapping
        ``target``, ``symbol``, ``window`` and ``families``, in the order of the plan.
    tasks : mapping of target to task
    config : PlannedTraining

    Returns
    -------
    list of dict
        One for each row: family → fits of folds besides its own; empty where another
        row's network learns the target too.
    """
    fits = [_own(row, rows[:place], tasks, config) for place, row in enumerate(rows)]
    for place, family in {*_chained(rows, config), *_weighed(rows, fits, config)}:
        fits[place][family] = config.ensembles.folds
    return fits


def _own(
    row: Row, before: Sequence[Row], tasks: Mapping[str, str], config: PlannedTraining
) -> dict[str, int]:
    """Families that a row fits itself."""
    if config.strategy != _SHARED or not _is_regression(row, tasks):
        return dict.fromkeys(row["families"], 0)
    told = any(
        _is_regression(other, tasks) and other["window"] == row["window"]
        for other in before
    )
    return {} if told else {_SHARED: 0}


def _is_regression(row: Row, tasks: Mapping[str, str]) -> bool:
    return row["symbol"] is None and tasks[row["target"]] == "regression"


def _chained(rows: Sequence[Row], config: PlannedTraining) -> Iterator[tuple[int, str]]:
    """All but the last model of each chain of a cascade, which knows no refits."""
    if config.strategy != "cascade":
        return
    chains: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        if row["symbol"] is None and not row["window"]:
            for family in row["families"]:
                if not registry.listing(family).sequence:
                    chains.setdefault(family, []).append(place)
    for family, places in chains.items():
        yield from ((place, family) for place in places[:-1])


def _weighed(
    rows: Sequence[Row], fits: Sequence[Mapping[str, int]], config: PlannedTraining
) -> Iterator[tuple[int, str]]:
    """Members of the ensembles whose weights come from scores out of fold."""
    if not _WEIGHED & set(config.ensembles.methods):
        return
    wanted = {registry.canonical(name) for name in config.ensembles.families}
    done: set[str] = set()
    for place, row in enumerate(rows):
        members = [one for one in fits[place] if not wanted or one in wanted]
        # the folds of a model with refits are those of the first of them
        if row["symbol"] is None and len(members) > 1 and row["target"] not in done:
            done.add(row["target"])
            yield from ((place, family) for family in members)
