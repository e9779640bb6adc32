"""Model row: the one row of the leaderboard that parameters name, or the chosen one."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

import pandas as pd

from ranking_pipeline.errors import UserError
from ranking_pipeline.wording import shortened

_SHOWN = 10
_NO_MODEL = {
    "baseline": "a baseline of the evaluation",
    "oracle": "the planted truth of a simulated market",
}


def model_row(
    leaderboard: pd.DataFrame, section: str, model_id: str | None, target: str | None
) -> dict[str, Any]:
    """Find one row; only its measures on validation are looked at.

    Parameters
    ----------
    leaderboard : DataFrame
        model_id, target, kind, chosen, validation_ic.
    section : str
        Whose parameters ``model_id`` and ``target`` name the row, for messages.
    model_id : str or None
        None: the row that was chosen on validation.
    target : str or None
        None: the only one of that name.

    Raises
    ------
    UserError
        When no row or several rows fit, with the names of those that exist; also for a
        baseline, which is no model.
    """
    rows = leaderboard[leaderboard["kind"] == "model"]
    fits = rows["chosen"] if model_id is None else rows["model_id"] == model_id
    if target is not None:
        fits = fits & (rows["target"] == target)
    found = rows[fits.astype(bool)]
    if len(found) == 1:
        return {str(name): value for name, value in found.iloc[0].items()}
    if len(found):
        targets = ", ".join(map(str, found["target"]))
        raise UserError(
            f"{section}.model_id {model_id!r} is a row of several targets: name one in "
            f"{section}.target: {targets}."
        )
    _refuse_baseline(leaderboard, section, model_id)
    wanted = "the row chosen on validation" if model_id is None else repr(model_id)
    raise UserError(
        f"{section}.model_id: {wanted} {f'of {target} ' if target else ''}is not on the "
        f"leaderboard{_near(model_id, rows)}. By their rank IC on validation there are: "
        f"{_names(rows)}."
    )


def _refuse_baseline(
    leaderboard: pd.DataFrame, section: str, model_id: str | None
) -> None:
    rows = leaderboard[leaderboard["model_id"] == model_id]
    kinds = set(rows["kind"])
    if kinds and "model" not in kinds:
        kind = rows["kind"].iloc[0]
        models = leaderboard[leaderboard["kind"] == "model"]
        raise UserError(
            f"{section}.model_id: {model_id!r} is {_NO_MODEL.get(kind, f'a {kind}')}, "
            "not a model: nothing was fitted. Name a model; by their rank IC on "
            f"validation there are: {_names(models)}."
        )


def _near(model_id: str | None, rows: pd.DataFrame) -> str:
    """The name that was meant, in brackets; "" where none is near."""
    names = [str(name) for name in rows["model_id"].unique()]
    near = get_close_matches(model_id or "", names, 1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def _names(rows: pd.DataFrame) -> str:
    ordered = rows.sort_values("validation_ic", ascending=False, kind="stable")
    pairs = zip(ordered["model_id"], ordered["target"], strict=True)
    return shortened([f"{row} ({target})" for row, target in pairs], _SHOWN) or "none"
