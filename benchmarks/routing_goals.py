"""Rows of the routing benchmark: what plans earn, and which goals are met."""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmarks.harness import Row, row

PLANS = (
    "pooled LightGBM",
    "pooled low_rank",
    "all per symbol",
    "routed",
    "routed, low_rank",
    "partial pooling",
    "chosen on validation",
)
POOLED, ALONE = "pooled LightGBM", "all per symbol"
WINS = 28 / 30


def embedded_rows(markets: pd.DataFrame) -> list[Row]:
    """Rows of the market in which 8 of 96 names are reversed.

    Parameters
    ----------
    markets : DataFrame
        One row per seed, as :func:`benchmarks.routing.one_market` gives them.
    """
    name = "8 of 96 reversed"
    made = _scores(markets, name)
    for plan in ("routed", "chosen on validation"):
        best = np.maximum(markets[POOLED], markets[ALONE])
        wins = (markets[plan] > best).astype(float)
        case = f"{name}: {plan} beats both uniform plans"
        made.append(_goal(case, "share of markets", wins, least=WINS))
    recall, false = markets["recall"], markets["false routes"].astype(float)
    made.append(_goal(f"{name}: recall of the reversed", "share", recall, least=0.9))
    made.append(_goal(f"{name}: false symbol routes", "count", false, most=1.0))
    return made


def generated_rows(markets: pd.DataFrame, strength: float) -> list[Row]:
    """Rows of the market whose thirds differ; at a strength below 0.1 little is asked.

    Parameters
    ----------
    markets : DataFrame
        As above.
    strength : float
        Of the signal.
    """
    name = f"thirds of 500, strength {strength:g}"
    made, weak = _scores(markets, name), strength < 0.1
    others, routes = "false share of the others", "share of routes false"
    limit = 0.1 if weak else None
    made.append(_goal(f"{name}: {others}", "share", markets[others], most=limit))
    made.append(_goal(f"{name}: {routes}", "share", markets[routes], most=limit))
    accuracy = "balanced accuracy"
    least = None if weak else 0.85
    made.append(_goal(f"{name}: {accuracy}", "share", markets[accuracy], least=least))
    for plan in ("routed", "routed, low_rank", "chosen on validation"):
        for rival, bound in ((POOLED, -1.0 if weak else 2.0), (ALONE, -1.0)):
            asked = None if weak and rival == ALONE else bound
            made.append(_advantage(markets, name, plan, rival, asked))
    return made


def _advantage(
    markets: pd.DataFrame, name: str, plan: str, rival: str, least: float | None
) -> Row:
    """Mean paired difference of two plans over the seeds, in its standard errors."""
    difference = markets[f"{plan} - {rival}"]
    error = markets[f"se {plan} - {rival}"]
    case = f"{name}: {plan} over {rival}"
    found = row(case, "standard errors", (difference / error).tolist())
    t = float(difference.sum() / np.sqrt((error**2).sum()))
    return found | {"mean": t} | _verdict(t, least, None)


def _goal(
    case: str,
    unit: str,
    values: pd.Series,
    least: float | None = None,
    most: float | None = None,
) -> Row:
    mean = float(values.mean())
    return (
        row(case, unit, values.tolist()) | {"mean": mean} | _verdict(mean, least, most)
    )


def _verdict(value: float, least: float | None, most: float | None) -> Row:
    if least is not None:
        return {"goal": f">= {least:.3g}", "met": bool(value >= least - 1e-12)}
    if most is not None:
        return {"goal": f"<= {most:.3g}", "met": bool(value <= most + 1e-12)}
    return {}


def _scores(markets: pd.DataFrame, name: str) -> list[Row]:
    return [
        row(f"{name}: {plan}", "rank IC", markets[plan].tolist())
        | {"mean": float(markets[plan].mean())}
        for plan in PLANS
    ]
