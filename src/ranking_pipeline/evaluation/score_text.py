"""Score text: what the scores of a portfolio foretell, and which legs they contradict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ranking_pipeline.wording import counted

_UNITS = {
    "return": "as a return",
    "normal_score": "as a normal score of the place within the bar",
    "class_score": "as a score of classes",
    "order": "as an order alone",
    "mixed": "in the units of several parts",
}
_AGAINST = {"long": (1, "negative"), "short": (-1, "positive")}


def foretold(target: str, unit: str) -> str:
    """What a model predicts, as ``predicts fwd_ret_1d, as a return``.

    Parameters
    ----------
    target : str
    unit : str
        ``metadata.score_unit`` of a selection.
    """
    return f"predicts {target}, {_UNITS[unit]}"


def model_foretold(selections: Sequence[Mapping[str, Any]]) -> str:
    """Sentence on what the scores foretell; "" where no model took part."""
    for one in selections:
        if one["source"] == "model":
            meta = one["metadata"]
            return f" The ML score {foretold(meta['target'], meta['score_unit'])}."
    return ""


def against_the_legs(selection: Mapping[str, Any]) -> str:
    """Say how many predicted returns contradict their leg; "" for none.

    Only a score that is a return, so that its sign means something, can do so.

    Parameters
    ----------
    selection : mapping
        One of the document ``portfolio_selection``.
    """
    if selection["metadata"]["score_unit"] != "return":
        return ""
    pairs = zip(
        selection["selected_stocks"], selection["predicted_scores"], strict=True
    )
    signed: dict[str, list[float]] = {leg: [] for leg in _AGAINST}
    for name, score in pairs:
        leg = selection["legs"][name]
        signed[leg].append(_AGAINST[leg][0] * score)
    told = []
    for leg, own in signed.items():
        against = sum(score < 0 for score in own)
        if against:
            verb, sign = "has" if against == 1 else "have", _AGAINST[leg][1]
            told.append(
                f"{against} of {counted(len(own), leg)} {verb} a {sign} predicted return"
            )
    return f"{', '.join(told)}." if told else ""
