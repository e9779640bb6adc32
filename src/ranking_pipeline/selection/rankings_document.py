"""Rankings document: the table of ranked targets as a person reads it in YAML."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

RECOMMENDATIONS = ((0.7, "prioritise"), (0.5, "enable"), (0.3, "test"))
DEPRIORITISE = "deprioritise"
NOT_RANKABLE = "not rankable"
_DIGITS = 6


def recommendation(skill: float) -> str:
    """What a skill suggests doing: prioritise, enable, test or deprioritise.

    Parameters
    ----------
    skill : float
        From 0 to 1; NaN where a target is not rankable. The gate alone selects; this
        grades what it leaves.
    """
    if np.isnan(skill):
        return NOT_RANKABLE
    reached = (name for limit, name in RECOMMENDATIONS if skill >= limit)
    return next(reached, DEPRIORITISE)


def rankings_document(rankings: pd.DataFrame) -> dict[str, Any]:
    """Arrange the table of ranked targets as a document of plain values.

    Parameters
    ----------
    rankings : DataFrame
        As :func:`ranking_pipeline.selection.predictability.rank_targets` gives it.

    Returns
    -------
    dict
        ``n_targets``, ``n_rankable``, ``selected`` (names in order) and ``targets``:
        one mapping per target with the columns of the table. Numbers have six
        significant digits and what is not known is None, so that the document can be
        written as YAML or JSON.
    """
    rows = [
        {str(name): _plain(value) for name, value in row.items()}
        for row in rankings.to_dict("records")
    ]
    return {
        "n_targets": len(rows),
        "n_rankable": sum(bool(row["rankable"]) for row in rows),
        "selected": [row["target"] for row in rows if row["selected"]],
        "targets": rows,
    }


def _plain(value: Any) -> Any:
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        known = np.isfinite(value)
        return float(f"{value:.{_DIGITS}g}") if known else None
    return str(value)
