"""Refits: whether training asks for the walk-forward that its plan was made with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ranking_pipeline.errors import UserError
from ranking_pipeline.training.config import WalkForwardConfig

NEVER = "refit_months"
_SECTION = "model_training.walk_forward"


def refuse_other_refits(plan: Mapping[str, Any], asked: WalkForwardConfig) -> None:
    """Refuse settings of the walk-forward that the plan does not carry out.

    The windows are rows of the plan, so that settings given to the training alone would
    change nothing, or only half of what they say.

    Parameters
    ----------
    plan : mapping
        A training plan; one of version 1 has no windows and names no settings.
    asked : WalkForwardConfig

    Raises
    ------
    UserError
        Naming both values of every setting that differs. Without refits on either side
        the other settings mean nothing, and may differ.
    """
    wanted = asked.model_dump(mode="json")
    made = _made_with(plan, wanted)
    if wanted[NEVER] is None and made[NEVER] is None:
        return
    differing = [
        f"{_SECTION}.{name} is {json.dumps(wanted[name])}, the plan was made with "
        f"{json.dumps(made[name])}"
        for name in wanted
        if name in made and made[name] != wanted[name]
    ]
    if differing:
        raise UserError(
            "; ".join(differing)
            + ". A plan is trained as it is: plan again with these "
            "values (kedro run --pipelines=routing,train), or give the plan's."
        )


def _made_with(plan: Mapping[str, Any], wanted: Mapping[str, Any]) -> Mapping[str, Any]:
    """Settings that a plan names; what its rows show where it names none."""
    named = plan.get("metadata", {}).get("walk_forward")
    if isinstance(named, Mapping) and NEVER in named:
        return named
    windows = any(row.get("window") for row in plan["jobs"])
    return {NEVER: wanted[NEVER] if windows else None}
