"""Plan rows: which of the wanted models can be planned, and why the others cannot."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from ranking_pipeline.errors import UserError
from ranking_pipeline.routing.setting import Setting
from ranking_pipeline.routing.walk_forward import PlannedWindow
from ranking_pipeline.training.plan_filters import told_unable

_log = logging.getLogger(__name__)


def with_families(
    wanted: Sequence[Mapping[str, Any]], setting: Setting
) -> tuple[list[dict[str, Any]], dict[str, list[str]]]:
    """Give each model its families; tell which families cannot learn which targets."""
    kinds = dict.fromkeys((row["target"], row["symbol"] is not None) for row in wanted)
    able = {kind: setting.families(*kind) for kind in kinds}
    unable: dict[str, list[str]] = {}
    for kind in kinds:
        for family in setting.unable(*kind):
            targets = unable.setdefault(family, [])
            targets += [kind[0]] if kind[0] not in targets else []
    for family, targets in unable.items():
        _log.info("plan: %s", told_unable(family, targets))
    rows = [
        {**row, "families": able[row["target"], row["symbol"] is not None]}
        for row in wanted
    ]
    kept = [row for row in rows if row["families"]]
    lone = dict.fromkeys(row["target"] for row in rows if not row["families"])
    if rows and not kept:
        raise UserError(
            f"no family of model_training.families can learn {', '.join(lone)}: "
            + "; ".join(told_unable(*one) for one in unable.items())
            + ". Enable one that can."
        )
    if lone:
        _log.warning(
            "plan: no enabled family can learn %s; not every model of it is planned",
            ", ".join(lone),
        )
    return kept, unable


def with_enough_rows(
    pairs: Sequence[tuple[Mapping[str, Any], PlannedWindow]], setting: Setting
) -> tuple[list[tuple[Mapping[str, Any], PlannedWindow]], dict[str, int]]:
    """Keep what can be fitted; of the rest, give the most rows of each job by its id."""
    fewest = setting.training.walk_forward.min_train_rows
    kept, scarce = [], {}
    for row, window in pairs:
        rows = setting.most_rows(row["symbol"], window)
        if rows is None or rows >= fewest:
            kept.append((row, window))
        else:
            scarce[job_id(row, window)] = rows
    if scarce:
        told = (
            f"{len(scarce)} of {len(pairs)} jobs have fewer rows to fit than "
            f"model_training.walk_forward.min_train_rows {fewest}, first "
            f"{next(iter(scarce))} with {next(iter(scarce.values()))}"
        )
        if not kept:
            raise UserError(f"{told}; nothing is left to plan. Lower it.")
        _log.warning("plan: %s; they are left out", told)
    return kept, scarce


def job_id(row: Mapping[str, Any], window: PlannedWindow) -> str:
    """Give the id of a job, such as ``sym_fwd_ret_1d_SYM007_w003``."""
    target, symbol = row["target"], row["symbol"]
    named = f"cs_{target}" if symbol is None else f"sym_{target}_{symbol}"
    return f"{named}_w{window.number:03d}" if window.number else named
